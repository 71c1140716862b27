"""An example of every body in the OpenAPI document, as structs, so that none can grow stale; a test validates them.

The numbers are those of a run: H2 by full configuration interaction in STO-3G at 0.7414 angstrom.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from kanad_server import wire
from kanad_solvers.errors import FieldError
from kanad_solvers.result import Coordinates, ElectronicState, Orbitals, Properties, Provenance, Reference
from kanad_solvers.spec import Atom, Energy, FullCI, HartreeFock, Limits, Molecule, Notify, Spec, spec_hash

ID = "01a20e05-80cf-7c73-9770-ce50ccb74ea7"
CAMPAIGN_ID = "01a20e05-9a11-7d02-8c41-6a1c2b7fd9e0"
ENERGY_HARTREE = -1.13727017
FCI = "fci"
TIMES = ("2026-01-01T12:00:00.000Z", "2026-01-01T12:00:00.012Z", "2026-01-01T12:00:00.121Z")
H2 = Coordinates(symbols=("H", "H"), coordinates_angstrom=((0.0, 0.0, 0.0), (0.0, 0.0, 0.7414)))
FILE = "2\nH2 fci/sto-3g\nH  0.0000000000  0.0000000000  0.0000000000\nH  0.0000000000  0.0000000000  0.7414000000\n"
CSV = "index,name,molecule,method,basis,task,status,energy_hartree\n0,,H2,hf,sto-3g,energy,completed,-1.11668439\n"


def example(body: Any) -> Any:
    """The example for a type of body, as plain data.

    Raises:
        KeyError: it has none.
    """
    return _plain()[body]


@cache
def _plain() -> dict[Any, Any]:
    return {type(value): _as_sent(value) for value in _values()} | {bytes: FILE}


def _as_sent(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def problem(status: int) -> Any:
    """A refusal of this status."""
    title, code, detail, errors = _PROBLEMS[status]
    return _as_sent(wire.Problem(title=title, status=status, detail=detail, code=code, errors=errors))


_FIELD = FieldError("$.molecule.atoms[1]", "atoms 0 and 1 are 0.1000 A apart; at least 0.3 A is needed")
_PROBLEMS: dict[int, tuple[str, str, str, tuple[FieldError, ...]]] = {
    400: ("Bad Request", "malformed_json", "the body is not JSON: it ends in an object", ()),
    401: ("Unauthorized", "token_needed", "this server wants a token: Authorization: Bearer kanad_...", ()),
    403: ("Forbidden", "not_allowed", "a viewer may look, and change nothing", ()),
    404: ("Not Found", "not_found", f"there is no experiment {ID}", ()),
    409: ("Conflict", "not_finished", "the experiment is running; ask again once it is completed", ()),
    413: ("Content Too Large", "body_too_large", "the body has more than 4194304 bytes", ()),
    415: ("Unsupported Media Type", "not_json", "the body must be application/json", ()),
    422: ("Unprocessable Content", "invalid_spec", f"{_FIELD.path}: {_FIELD.message}", (_FIELD,)),
    429: ("Too Many Requests", "too_many_waiting", "10000 of your experiments are waiting, and 10000 is the limit", ()),
    500: ("Internal Server Error", "internal_error", "a fault of ours; the log has it under error_id", ()),
    503: ("Service Unavailable", "queue_full", "100000 experiments are waiting, and 100000 is the limit", ()),
}


def _values() -> list[Any]:
    spec = Spec(name="hydrogen", molecule=Molecule(library="H2", multiplicity=1), method=FullCI(), tags=("demo",))
    experiment = wire.Experiment(
        id=ID, name="hydrogen", tags=("demo",), priority=0, status="completed", spec=spec, spec_hash=spec_hash(spec),
        attempt=1, progress=wire.Percentage(percent=100, stage=3, iteration=1, energy_hartree=ENERGY_HARTREE),
        last_seq=9, created_at=TIMES[0], energy_hartree=ENERGY_HARTREE, started_at=TIMES[1], finished_at=TIMES[2],
    )  # fmt: skip
    campaign = wire.CampaignView(
        id=CAMPAIGN_ID, name="bonds", tags=(), owner="local", size=4, created_at=TIMES[0], status="active",
        percent=62.5, counts={"completed": 2, "running": 1, "queued": 1},
    )  # fmt: skip
    member = wire.Member(
        index=0, experiment_id=ID, name="", molecule="H2", method=FCI, basis="sto-3g", task="energy",
        status="completed", percent=100, energy_hartree=ENERGY_HARTREE, wall_s=0.109, last_seq=9,
    )  # fmt: skip
    library = wire.LibraryMolecule(
        name="H2", title="hydrogen", formula="H2", charge=0, multiplicity=1, geometry=H2,
        source="Huber and Herzberg, Constants of Diatomic Molecules (1979)",
    )  # fmt: skip
    return [
        msgspec.structs.replace(spec, limits=Limits(wall_s=600), notify=(Notify(url="https://a.example/hook"),)),
        experiment,
        wire.ExperimentPage(items=[experiment], next_cursor=None),
        wire.ExperimentPatch(priority=10),
        wire.Batch(experiments=(spec, msgspec.structs.replace(spec, method=HartreeFock(), task=Energy(gradient=True)))),
        wire.Accepted(items=[experiment]),
        _result(),
        wire.EventPage(items=_events(), next_after=3),
        wire.ArtifactPage(items=[wire.Artifact(name="structure.xyz", media_type="chemical/x-xyz")]),
        wire.Ticket(ticket="3q2-7wRr0V5mYB8kXc1uPA", expires_in_s=30),
        wire.CampaignPost(
            name="bonds",
            grid=wire.Grid(
                molecules=({"library": "H2"}, {"library": "LiH"}), methods=({"name": "hf"}, {"name": "ccsd"}),
                bases=("sto-3g",),
            ),
        ),
        campaign,
        wire.CampaignPage(items=[campaign]),
        wire.Summary(items=[member]),
        wire.Estimate(
            feasible=True, basis_functions=2, memory_mb=150.1, seconds=(0.003, 0.027), determinants=4, qubits=4
        ),
        Molecule(
            atoms=(Atom(symbol="H", position_angstrom=(0, 0, 0)), Atom(symbol="H", position_angstrom=(0, 0, 0.7414)))
        ),
        wire.ParsedMolecule(formula="H2", charge=0, multiplicity=1, electrons=2, geometry=H2),
        wire.MoleculePage(items=[library]),
        wire.MethodPage(
            methods=[wire.MethodDescription(name="hf", title="Hartree-Fock", tasks=("energy", "scan"), options={})],
            tasks=[wire.TaskDescription(name="energy", title="Total energy and properties", options={})],
            basis_sets=["sto-3g", "cc-pvdz"],
        ),
        wire.System(
            versions={"kanad-server": "0.1.0", "pyscf": "2.14.0"}, queue_length=0, viewers=1, started_at=TIMES[0],
            slots=[wire.SlotView(name="slot-0", state="idle", pid=4711, cpu_s=1.5, memory_mb=140.0)],
        ),
        wire.Health(status="ok"),
    ]  # fmt: skip


def _result() -> wire.Result:
    return wire.Result(
        energy_hartree=ENERGY_HARTREE,
        converged=True,
        components={"hf_hartree": -1.11668439, "nuclear_repulsion_hartree": 0.71375399},
        reference=Reference(type="rhf", s_squared=0.0),
        states=(ElectronicState(index=0, energy_hartree=ENERGY_HARTREE, excitation_ev=0.0, s_squared=0.0),),
        orbitals=Orbitals(energies_hartree=(-0.578, 0.670), occupations=(2.0, 0.0)),
        properties=Properties(density=FCI, dipole_debye=(0.0, 0.0, 0.0), mulliken_charges=(0.0, 0.0)),
        geometry=H2,
        comparisons={"hf": -1.11668439},
        provenance=Provenance(versions={"pyscf": "2.14.0"}, wall_s=0.109, cpu_s=0.108, peak_rss_mb=140.0, threads=1),
    )


def _events() -> list[Any]:
    return [
        wire.Status(experiment_id=ID, attempt=1, seq=1, time=TIMES[0], status="queued", progress=0),
        wire.Status(experiment_id=ID, attempt=1, seq=2, time=TIMES[1], status="running", progress=0),
        wire.Stage(
            experiment_id=ID, attempt=1, seq=3, time=TIMES[1], stage=0, last_stage=3, message="HF reference computed",
            energy_hartree=-1.11668439,
        ),
    ]  # fmt: skip
