"""Files that other programs read: XYZ, molden, cube, FCIDUMP, QCSchema, CSV, and a compact grid for a viewer."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from kanad_solvers.errors import FieldError, InvalidSpec, TooLarge
from kanad_solvers.progress import Convergence, Geometry, Log, Point, Progress, Stage, State
from kanad_solvers.result import Coordinates, Result
from kanad_solvers.spec import Energy, Spec, name_of
from kanad_solvers.wavefunction import Wavefunction, arrays, molecule_of

ANGSTROM_PER_BOHR = 0.529177210903  # CODATA 2018
CUBE_POINTS = 80  # along each axis
CUBE_MARGIN_BOHR = 5.0
GRID_SPACING_BOHR = 0.4
GRID_MARGIN_BOHR = 4.0
MAX_GRID_BYTES = 64 * 1024 * 1024
CHUNK_POINTS = 20_000  # points at which the basis functions are evaluated at a time
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


# From results


def structure_xyz(result: Result, comment: str) -> str:
    """The final structure as XYZ text, angstrom."""
    assert result.geometry is not None
    return _frame(result.geometry, f"{_one_line(comment)} energy {result.energy_hartree!r} hartree")


def trajectory_xyz(symbols: Sequence[str], frames: Iterable[Geometry]) -> Iterator[str]:
    """Every frame of an optimisation as XYZ text, angstrom."""
    for frame in frames:
        geometry = Coordinates(symbols=tuple(symbols), coordinates_angstrom=frame.coordinates_angstrom)
        yield _frame(geometry, f"step {frame.step} energy {frame.energy_hartree!r} hartree")


def _frame(geometry: Coordinates, comment: str) -> str:
    rows = [
        f"{symbol:<2} {x:18.10f} {y:18.10f} {z:18.10f}"
        for symbol, (x, y, z) in zip(geometry.symbols, geometry.coordinates_angstrom, strict=True)
    ]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def event_columns() -> tuple[str, ...]:
    """The columns of `events.csv`: every field of every kind of event."""
    fields = ["seq", "time", "attempt", "type", "status", "progress"]
    for kind in (Stage, Convergence, State, Geometry, Point, Log):
        fields += [name for name in kind.__struct_fields__ if name not in Progress.__struct_fields__]
    return tuple(dict.fromkeys(fields))


def events_csv(events: Iterable[dict[str, Any]], *, header: bool = True) -> Iterator[str]:
    """One line for each event (plain data), the column names first; no cell can be taken for a formula."""
    columns = event_columns()
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    if header:
        writer.writerow(columns)
    for event in events:
        writer.writerow([_cell(event.get(name)) for name in columns])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def qcschema(spec: Spec, result: Result) -> str:
    """The result as a QCSchema version 2 `AtomicResult`, JSON; of the final structure where there were several."""
    properties = result.properties
    gradient = None if properties is None else properties.gradient_hartree_per_bohr
    asked = isinstance(spec.task, Energy) and spec.task.gradient and gradient is not None
    flat = None if gradient is None else [part for row in gradient for part in row]
    molecule = _qcschema_molecule(spec, result)
    provenance = result.provenance
    versions = {} if provenance is None else provenance.versions
    document = {
        "schema_name": "qcschema_atomic_result",
        "schema_version": 2,
        "input_data": {
            "schema_name": "qcschema_atomic_input",
            "schema_version": 2,
            "molecule": molecule,
            "specification": {
                "schema_name": "qcschema_atomic_specification",
                "program": "kanad",
                "driver": "gradient" if asked else "energy",
                "model": {"method": name_of(spec.method), "basis": spec.basis},
                "keywords": msgspec.to_builtins(spec.method),
            },
        },
        "molecule": molecule,
        "properties": _qcschema_properties(result, flat),
        "return_result": flat if asked else result.energy_hartree,
        "success": True,
        "provenance": {
            "creator": "kanad-server",
            "version": versions.get("kanad_solvers", ""),
            "routine": f"pyscf {versions.get('pyscf', '')}",
        },
        "extras": {"converged": result.converged, "warnings": list(result.warnings)},
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _qcschema_molecule(spec: Spec, result: Result) -> dict[str, Any]:
    assert result.geometry is not None
    return {
        "schema_name": "qcschema_molecule",
        "schema_version": 3,
        "symbols": list(result.geometry.symbols),
        "geometry": [x / ANGSTROM_PER_BOHR for row in result.geometry.coordinates_angstrom for x in row],
        "molecular_charge": float(spec.molecule.charge),
        "molecular_multiplicity": float(spec.molecule.multiplicity or 1),
        "fix_com": True,
        "fix_orientation": True,
    }


def _qcschema_properties(result: Result, gradient: list[float] | None) -> dict[str, Any]:
    assert result.geometry is not None
    found: dict[str, Any] = {
        "return_energy": result.energy_hartree,
        "calcinfo_natom": len(result.geometry.symbols),
        "return_gradient": gradient,
        "nuclear_repulsion_energy": result.components.get("nuclear_repulsion_hartree"),
        "scf_total_energy": result.components.get("hf_hartree"),
        "scf_dispersion_correction_energy": result.components.get("dispersion_hartree"),
    }
    orbitals = result.orbitals
    if orbitals is not None:
        beta = orbitals.beta_occupations
        alpha = sum(round(n) if beta else (n > 0.5) for n in orbitals.occupations)
        found["calcinfo_nmo"] = len(orbitals.energies_hartree)
        found["calcinfo_nalpha"] = int(alpha)
        found["calcinfo_nbeta"] = int(sum(map(round, beta)) if beta else sum(n > 1.5 for n in orbitals.occupations))
    if result.properties is not None and result.properties.density == "hf":
        dipole = result.properties.dipole_debye
        found["scf_dipole_moment"] = None if dipole is None else [part / 2.541746473 for part in dipole]
    return {name: value for name, value in found.items() if value is not None}


# From orbitals


def molden(wavefunction: Wavefunction) -> str:
    """All orbitals as a molden file."""
    from pyscf.tools import molden as pyscf_molden

    mol = molecule_of(wavefunction)
    coefficients, energies, occupations = arrays(wavefunction)
    buffer = io.StringIO()
    pyscf_molden.header(mol, buffer, ignore_h=True)
    for place, spin in enumerate(("Alpha", "Beta")[: wavefunction.sets]):
        pyscf_molden.orbital_coeff(
            mol, buffer, coefficients[place], spin=spin, ene=energies[place], occ=occupations[place], ignore_h=True
        )
    return buffer.getvalue()


def cube(wavefunction: Wavefunction, number: int) -> str:
    """Orbital `number` (from 1; of the alpha set) on a grid, as a Gaussian cube file.

    Raises:
        InvalidSpec: there is no such orbital.
    """
    _check_numbers(wavefunction, [number])
    mol = molecule_of(wavefunction)
    origin, spacing, shape = _box(mol.atom_coords(), CUBE_MARGIN_BOHR, CUBE_POINTS)
    values = _on_grid(wavefunction, mol, [number], origin, spacing, shape)[0]
    lines = [f"orbital {number}", "made by kanad-server; bohr"]
    lines.append(f"{mol.natm:5d}" + "".join(f"{x:14.8f}" for x in origin))
    for axis in range(3):
        step = [0.0, 0.0, 0.0]
        step[axis] = spacing[axis]
        lines.append(f"{shape[axis]:5d}" + "".join(f"{x:14.8f}" for x in step))
    for atom in range(mol.natm):
        charge = mol.atom_charge(atom)
        position = "".join(f"{x:14.8f}" for x in mol.atom_coord(atom))
        lines.append(f"{charge:5d}{float(charge):14.8f}{position}")
    for row in values.reshape(shape[0] * shape[1], shape[2]):
        lines += ["".join(f"{x:13.5E}" for x in row[start : start + 6]) for start in range(0, shape[2], 6)]
    return "\n".join(lines) + "\n"


def grid(wavefunction: Wavefunction, numbers: Sequence[int]) -> bytes:
    """Orbitals (from 1, alpha set) on one grid for a viewer: a line of JSON, then float32 values, orbital by orbital.

    The line holds `origin_bohr`, `spacing_bohr`, `shape`, `orbitals` (number, energy, occupation) and `atoms`; values
    are little-endian, the last axis fastest.

    Raises:
        InvalidSpec: there is no such orbital, or none was asked for.
        TooLarge: more than 64 MB.
    """
    import numpy as np

    _check_numbers(wavefunction, numbers)
    mol = molecule_of(wavefunction)
    extent = np.ptp(mol.atom_coords(), axis=0) + 2 * GRID_MARGIN_BOHR
    shape = [int(np.ceil(length / GRID_SPACING_BOHR)) + 1 for length in extent]
    size = 4 * len(numbers) * int(np.prod(shape))
    if size > MAX_GRID_BYTES:
        raise TooLarge(
            f"the grid needs {size} bytes, the limit is {MAX_GRID_BYTES}; ask for fewer orbitals", bytes=size
        )
    origin = mol.atom_coords().min(axis=0) - GRID_MARGIN_BOHR
    values = _on_grid(wavefunction, mol, numbers, origin, [GRID_SPACING_BOHR] * 3, shape)
    _, energies, occupations = arrays(wavefunction)
    header = {
        "origin_bohr": origin.tolist(),
        "spacing_bohr": [GRID_SPACING_BOHR] * 3,
        "shape": shape,
        "orbitals": [
            {"number": n, "energy_hartree": float(energies[0, n - 1]), "occupation": float(occupations[0, n - 1])}
            for n in numbers
        ],
        "atoms": [[mol.atom_symbol(atom), *mol.atom_coord(atom).tolist()] for atom in range(mol.natm)],
    }
    return msgspec.json.encode(header) + b"\n" + bytes(values.astype("<f4").tobytes())


def fcidump(wavefunction: Wavefunction) -> str:
    """The Hamiltonian over the window (all orbitals where there is none) as an FCIDUMP file.

    Knowles and Handy, Comput. Phys. Commun. 54, 75 (1989).

    Raises:
        InvalidSpec: the orbitals are unrestricted.
    """
    import numpy as np
    from pyscf import ao2mo
    from pyscf.scf import hf
    from pyscf.tools import fcidump as pyscf_fcidump

    if wavefunction.sets == 2:
        raise InvalidSpec([FieldError("$.method.reference", "an FCIDUMP needs restricted orbitals, these are uhf")])
    mol = molecule_of(wavefunction)
    orbitals = arrays(wavefunction)[0][0]
    core = wavefunction.core or 0
    norb = wavefunction.orbitals - core if wavefunction.active is None else wavefunction.active
    electrons = mol.nelec if wavefunction.electrons is None else wavefunction.electrons
    one_body = hf.get_hcore(mol)
    filled, active = orbitals[:, :core], orbitals[:, core : core + norb]
    density = 2 * filled @ filled.T
    repulsion = np.zeros_like(density)
    if core:
        coulomb, exchange = hf.get_jk(mol, density)
        repulsion = coulomb - exchange / 2
    energy = float(mol.energy_nuc() + np.sum(density * (one_body + repulsion / 2)))
    integrals = ao2mo.restore(8, ao2mo.kernel(mol, active), norb)
    with tempfile.NamedTemporaryFile("r", suffix=".fcidump") as file:
        pyscf_fcidump.from_integrals(
            file.name,
            active.T @ (one_body + repulsion) @ active,
            integrals,
            norb,
            sum(electrons),
            nuc=energy,
            ms=electrons[0] - electrons[1],
        )
        return file.read()


def _check_numbers(wavefunction: Wavefunction, numbers: Sequence[int]) -> None:
    wrong = [number for number in numbers if not 1 <= number <= wavefunction.orbitals]
    if wrong or not numbers:
        shown = ", ".join(map(str, wrong)) or "none"
        raise InvalidSpec([FieldError("orbitals", f"orbitals are 1 to {wavefunction.orbitals}, got {shown}")])


def _box(coordinates: Any, margin: float, points: int) -> tuple[Any, list[float], list[int]]:
    """Origin, spacing and points of a box around the nuclei, bohr."""
    low, high = coordinates.min(axis=0) - margin, coordinates.max(axis=0) + margin
    return low, [float(length) / (points - 1) for length in high - low], [points] * 3


def _on_grid(
    wavefunction: Wavefunction, mol: Any, numbers: Sequence[int], origin: Any, spacing: Sequence[float],
    shape: Sequence[int],
) -> Any:  # fmt: skip
    """Values of the orbitals, shape (orbitals, points), the last axis of the grid fastest."""
    import numpy as np

    chosen = arrays(wavefunction)[0][0][:, [number - 1 for number in numbers]]
    axes = [origin[axis] + spacing[axis] * np.arange(shape[axis]) for axis in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    kind = "GTOval_cart" if mol.cart else "GTOval_sph"
    parts = [
        mol.eval_gto(kind, points[start : start + CHUNK_POINTS]) @ chosen
        for start in range(0, len(points), CHUNK_POINTS)
    ]
    return np.concatenate(parts).T
