"""One challenger accuses an honest prover. Whatever it does, the prover has its bond, and the stake, in the end."""

from __future__ import annotations

from collections.abc import Iterator

from bitvm.graph.model import PROVER, challenger
from bitvm.graph.parameters import DUST
from bitvm.leaves.fields import ENTRIES, NARROW_GAPS, START_GAPS, TREE_GAPS, Kind
from regtest.accusations import scene
from regtest.accusations.accuser import accuser
from regtest.cases import Case, Seats, prover_of

FIRST, MIDDLE, LAST = (0, 0), (3, 9), (scene.WIDTH - 1, scene.WIDTH - 1)
"""Choices that lead to the first step, to one at which a word is stored, and to the last."""

GROUPS = 4
"""Square root of the width: groups of a demanded list, and intervals in each."""

ENTRY_GAPS = 4
"""Height of a list."""


def accused(
    name: str, story: str, script: str, *ends: str, absent: tuple[str, ...] = (), answer_price: int = DUST
) -> Case:
    """Return the case of challenger 1 playing ``script``; ``ends``: its game's and the bond's ends, plain names."""

    def seats() -> Seats:
        true, parameters = scene.run(), scene.parameters(answer_price=answer_price)
        return Seats(parameters, {PROVER: prover_of(true), challenger(1): accuser(script, true)})

    return Case(f"accuse/{name}", story, PROVER, ends, seats, absent=absent)


def taken(name: str, story: str, script: str, after: str) -> Case:
    """Return the case in which the stake is taken after the move ``after``, and the bond much later."""
    return accused(name, story, script, f"1/TakeStake_after_{after}", "LatePayout")


def swept(name: str, story: str, script: str, *sweeps: str, after: str = "Step") -> Case:
    """Return the case in which what side paths hold is swept, too, since answers are dear."""
    ends = (f"1/TakeStake_after_{after}", *(f"1/Sweep_{sweep}" for sweep in sweeps), "LatePayout")
    return accused(name, story, script, *ends, answer_price=scene.DEAR_ANSWER)


def dismissed(name: str, story: str, script: str, question: str) -> Case:
    """Return the case in which ``question`` is dismissed."""
    absent = (f"1/TakeStake_after_{question}",)
    return accused(name, story, script, f"1/Dismiss_{question}", "LatePayout", absent=absent)


def to_step(choices: tuple[int, int] = MIDDLE) -> str:
    """Return the script of a dispute of the step that ``choices`` select."""
    return f"Challenge Choice_1={choices[0]} Choice_2={choices[1]}"


def point(kind: Kind) -> tuple[int, int]:
    """Return choices of a step of which ``kind`` can be asked."""
    return FIRST if kind is Kind.START else MIDDLE


def alone_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _silences()
    yield from _choices()
    yield from _questions()
    yield from _nonsense()
    yield from _demands()
    yield from _voided_demands()
    yield from _compares()
    yield from _last_blocks()


def _silences() -> Iterator[Case]:
    yield taken("silence/Challenge", "the accuser challenges and is silent", "Challenge", "Challenge")
    yield taken("silence/Reveal_2", "the accuser is silent after a list", "Challenge Choice_1=5", "Reveal_2")
    yield taken("silence/Step", "the accuser is silent after the step", to_step(), "Step")
    for kind in Kind:
        script = f"{to_step(point(kind))} Ask={int(kind)}"
        yield taken(f"silence/Path/{kind.name}", f"the accuser asks for {kind.name}, no more", script, "Path")


def _choices() -> Iterator[Case]:
    last = scene.WIDTH - 1
    pointed = (FIRST, (0, 1), (0, last), (1, 0), (6, 11), (8, 2), (8, 3), (11, 4), (last, 0), LAST)
    for first, second in pointed:
        step = scene.WIDTH * first + second
        story = f"the accuser points at step {step} and has nothing to say against it"
        yield taken(f"choice/{first}-{second}", story, to_step((first, second)), "Step")


def _questions() -> Iterator[Case]:
    for kind in Kind:
        asked = f"{to_step(point(kind))} Ask={int(kind)}"
        gaps = ENTRY_GAPS if kind in ENTRIES else START_GAPS if kind is Kind.START else TREE_GAPS + 1
        for gap in range(gaps):
            script, name = f"{asked} Descend={gap}", f"question/{kind.name}/{gap}"
            yield taken(name, f"the accuser asks for {kind.name} in gap {gap}, where all is right", script, "Inside")
            if kind in ENTRIES or kind is Kind.START or gap >= TREE_GAPS:
                continue
            for narrow in range(NARROW_GAPS):
                story = f"the accuser asks for {kind.name} in gap {gap}.{narrow}, where all is right"
                yield taken(f"{name}.{narrow}", story, f"{script} Narrow={narrow}", "Close")


def _nonsense() -> Iterator[Case]:
    for number in range(max(Kind) + 1, 16):
        story = f"the accuser asks for kind {number}, which does not exist"
        yield dismissed(f"nonsense/kind_{number}", story, f"{to_step()} Ask={number}", "Ask")
    for kind, choices in ((Kind.LEFT, FIRST), (Kind.RIGHT, LAST), (Kind.START, MIDDLE), (Kind.START, (0, 1))):
        name = f"nonsense/{kind.name}/{choices[0]}-{choices[1]}"
        story = f"the accuser asks for {kind.name} at a step that has none"
        yield dismissed(name, story, f"{to_step(choices)} Ask={int(kind)}", "Ask")
    for kind, gap in ((Kind.CONTROL, 4), (Kind.MEM, 7), (Kind.STATE, 5), (Kind.LEFT, 4), (Kind.RIGHT, 7)):
        yield _out_of_range(kind, gap)
    yield from (_out_of_range(Kind.START, gap) for gap in (START_GAPS, 7))
    shown = ((Kind.LEFT, 0), (Kind.RIGHT, 3), (Kind.START, 1), (Kind.INSTR, TREE_GAPS), (Kind.DATA, TREE_GAPS))
    for kind, gap in shown:
        for narrow in (0, NARROW_GAPS - 1):
            story = f"the accuser asks for more of {kind.name} than there is"
            script = f"{to_step(point(kind))} Ask={int(kind)} Descend={gap} Narrow={narrow}"
            yield dismissed(f"nonsense/{kind.name}/{gap}.{narrow}", story, script, "Narrow")


def _out_of_range(kind: Kind, gap: int) -> Case:
    script = f"{to_step(point(kind))} Ask={int(kind)} Descend={gap}"
    story = f"the accuser asks for {kind.name} in gap {gap}, which does not exist"
    return dismissed(f"nonsense/{kind.name}/{gap}", story, script, "Descend")


def _demands() -> Iterator[Case]:
    """Needless demands at every level: what the prover signs is what it showed."""
    for level in range(1, scene.LEVELS + 1):
        before = "Challenge " if level == 1 else "Challenge Choice_1=3 "
        demand, name = f"{before}Demand_{level}", f"demand/{level}"
        story = f"the accuser has list {level} signed for nothing"
        yield taken(name, f"{story} and is silent", demand, f"Outline_{level}")
        for group in range(GROUPS):
            script = f"{demand} Pick_{level}={group}"
            yield taken(f"{name}/{group}", f"{story}, in group {group}, and is silent", script, f"Detail_{level}")
            inside, outside = GROUPS * group + 1, (GROUPS * group + GROUPS) % scene.WIDTH
            for where, choice in (("inside", inside), ("outside", outside)):
                rest = " Choice_2=7" if level == 1 else ""
                yield swept(
                    f"{name}/{group}/{where}",
                    f"{story}, in group {group}, and points {where} it",
                    f"{script} Detail_{level} Choice_{level}={choice}{rest}",
                    f"answered_{level}",
                )


def _voided_demands() -> Iterator[Case]:
    """Choices made while a demand is pending, and demands made behind a choice: the prover sweeps and goes on."""
    for level in range(1, scene.LEVELS + 1):
        before, rest = ("Challenge", "Choice_2=7") if level == 1 else ("Challenge Choice_1=3", "")
        demand, choice = f"Demand_{level}", f"Choice_{level}=3"
        stages = (
            (f"{demand} {choice}", "outline"),
            (f"{demand} Outline_{level} {choice}", "pick"),
            (f"{demand} Pick_{level}=0 {choice}", "detail"),
        )
        for moves, owed in stages:
            story = f"the accuser chooses in list {level} before its demand of it is answered, at {owed}"
            yield swept(f"void/{level}/{owed}", story, f"{before} {moves} {rest}", f"{owed}_{level}")
        story = f"the accuser demands list {level} after it has chosen in it"
        yield swept(f"void/{level}/after", story, f"{before} {choice} {demand} {rest}", f"outline_{level}")
        story = f"the accuser demands nothing of list {level} and takes its side money back"
        yield swept(f"void/{level}/side", story, f"{before} {choice} {rest}", f"side_{level}")
        story = f"the accuser demands list {level} in the last block before its stake is taken"
        script = f"{before} {demand}@{scene.DELTA - 1}"
        yield taken(f"last_block/{level}/demand", story, script, f"Outline_{level}")


def _compares() -> Iterator[Case]:
    pages = ("Compare_left", "Compare_right")
    for page in pages:
        for choices in (FIRST, MIDDLE, LAST):
            name = f"compare/{page}/{choices[0]}-{choices[1]}"
            story = f"the accuser says {page} where no list was signed"
            yield taken(name, story, f"{to_step(choices)} {page}", page)
    for page in pages:
        for choice in (3, 4, 8, 11, 12):
            demands = f"Challenge Demand_1 Pick_1={choice // GROUPS} Detail_1 "
            demands += f"Choice_1={choice} Demand_2 Pick_2=0 Detail_2"
            for second in (0, 2, 3, scene.WIDTH - 1):
                name = f"compare/{page}/signed/{choice}-{second}"
                story = f"the accuser says {page} with lists signed, in which the step is"
                yield taken(name, story, f"{demands} Choice_2={second} {page}", page)


def _last_blocks() -> Iterator[Case]:
    last = scene.DELTA_CLAIM - 1
    yield taken(
        "last_block/Challenge",
        "the accuser challenges in the last block before Payout, and is silent",
        f"Challenge@{last}",
        "Challenge",
    )
    yield accused(
        "last_block/Challenge_too_late",
        "the accuser challenges in the block of Payout, which is there first",
        f"Challenge@{last + 1}",
        "Payout",
        absent=("1/Challenge", "LatePayout"),
    )
    late = f"@{scene.DELTA - 1}"
    script = f"Challenge@{last} Choice_1=3{late} Choice_2=9{late} Ask=6{late} Descend=1{late} Narrow=2{late}"
    yield taken("last_block/all", "the accuser makes every move in the last block it can", script, "Close")
    demands = f"Challenge@{last} Demand_1{late} Pick_1=0{late} Detail_1 Choice_1=3{late} "
    demands += f"Demand_2{late} Pick_2=2{late} Detail_2 Choice_2=9{late} Ask=6{late} Descend=1{late} Narrow=2{late}"
    story = "the accuser makes every move that there is, each in the last block it can"
    yield swept("last_block/longest", story, demands, "answered_1", "answered_2", after="Close")
