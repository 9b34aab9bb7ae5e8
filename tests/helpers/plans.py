"""A plan between three parties that do not exist."""

from bitvm.graph.parameters import Parameters
from bitvm.setup.plan import Address, PlannedParty, SetupPlan

PARAMETERS = Parameters(bytes(range(24)), levels=2, width=4, challengers=2)
PROVER, FIRST, SECOND = (bytes([number]) * 32 for number in (1, 2, 3))
PLAN = SetupPlan(
    "ledger-1",
    "regtest",
    PARAMETERS,
    bytes(range(32)),
    Address("127.0.0.1", 7001),
    PlannedParty(PROVER, Address("prover.example", 7002)),
    (PlannedParty(FIRST, Address("::1", 7003)), PlannedParty(SECOND)),
)
