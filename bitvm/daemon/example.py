"""An example of a configuration, made from the declarations of its fields."""

from collections.abc import Iterator

from bitvm.daemon.config import NAMES, PROVERS, SECTIONS, Name, Role


def example(role: Role) -> str:
    """Return a configuration of a prover or a challenger: every field with its meaning, default and variable.

    It can be loaded as it is. What has no value by default is commented out.
    """
    lines = [
        f"# Configuration of a {role}'s daemon.",
        "#",
        "# Every field can be replaced by the environment variable in its last line. 'none' is nothing.",
    ]
    section = ""
    for name in sorted(NAMES, key=lambda name: list(SECTIONS).index(name.section)):
        if role == "challenger" and name == PROVERS:
            continue
        if name.section != section:
            section = name.section
            comment = "#" if section == "second_node" else ""
            lines += ["", f"# {SECTIONS[section][1]}", f"{comment}{section}:"]
        lines += _example_field(name)
    return "\n".join(lines) + "\n"


def _example_field(name: Name) -> Iterator[str]:
    setting = name.setting
    indent = "  " if name.section else ""
    needed = name.required or name == Name("node", "cookie")
    default = (
        "none" if name.default is None else f"{name.default:g}" if isinstance(name.default, float) else name.default
    )
    off = "#" if name.section == "second_node" or not (needed or name.default is not None) else ""
    yield ""
    yield f"{indent}# {setting.meaning}"
    yield f"{indent}# Allowed: {setting.kind.allowed}."
    yield f"{indent}# {'Needed' if needed else f'Default: {default}'}. Variable: {name.variable}."
    yield f"{indent}{off}{name.field}: {setting.example or default}"
