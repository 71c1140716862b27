"""A finished run as cclib's data (the extra ``cclib``), which its writers and bridges take further: CJSON, CML, WFX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kanad_server.wire import Experiment, ParsedMolecule, Result
from kanad_solvers.spec import name_of

if TYPE_CHECKING:
    from cclib.parser.data import ccData

EV = 27.211386245988
PER_CM_OF_EV = 8065.543937
ATMOSPHERE_PA = 101_325.0
MEAN_FIELDS, PERTURBATIVE, COUPLED_CLUSTERS = ("hf", "dft"), ("mp2",), ("ccsd", "ccsd(t)")


def data_of(experiment: Experiment, result: Result, molecule: ParsedMolecule) -> ccData:
    """The result in cclib's names and units: energies in eV, transitions in 1/cm, dipoles in debye.

    ``metadata["energy_hartree"]`` has the energy of every method; cclib has no other name for that of `fci`, `sqd`,
    `vqe` and so on. Gradients are left out, since parsers of cclib differ in their sign.

    Raises:
        ImportError: cclib is not installed.
        ValueError: the result has no structure.
    """
    from cclib.parser.data import ccData

    attributes: dict[str, Any] = {}
    for found in (_about(experiment, result, molecule), _energies(experiment, result), _orbitals(result)):
        attributes |= dict(found)
    attributes |= dict(_properties(result)) | dict(_vibrations(result))
    data = ccData(attributes)
    data.arrayify()
    return data


def _about(experiment: Experiment, result: Result, molecule: ParsedMolecule) -> Iterator[tuple[str, Any]]:
    from kanad_server import __version__

    if result.geometry is None:
        raise ValueError("the result has no nuclei: it is that of a Hamiltonian")
    yield "natom", len(result.geometry.symbols)
    yield "atomnos", _numbers(result.geometry.symbols)
    yield "atomcoords", [list(map(list, result.geometry.coordinates_angstrom))]
    yield "charge", molecule.charge
    yield "mult", molecule.multiplicity
    about = {"package": "kanad-server", "package_version": __version__, "basis_set": experiment.spec.basis}
    methods = [name_of(experiment.spec.method).upper()]
    yield "metadata", about | {"methods": methods, "success": result.converged, "energy_hartree": result.energy_hartree}


def _numbers(symbols: tuple[str, ...]) -> list[int]:
    from cclib.parser.utils import PeriodicTable

    known = PeriodicTable()
    return [known.number[symbol] for symbol in symbols]


def _energies(experiment: Experiment, result: Result) -> Iterator[tuple[str, Any]]:
    method, energy = name_of(experiment.spec.method), result.energy_hartree * EV
    if method in MEAN_FIELDS:
        yield "scfenergies", [energy]
    elif "hf_hartree" in result.components:
        yield "scfenergies", [result.components["hf_hartree"] * EV]
    if method in PERTURBATIVE:
        yield "mpenergies", [[energy]]
    if method in COUPLED_CLUSTERS:
        yield "ccenergies", [energy]
    if result.scan is not None:
        yield "scannames", [f"{result.scan.type} {'-'.join(str(atom + 1) for atom in result.scan.atoms)}"]
        yield "scanparm", [list(result.scan.values)]
        yield "scanenergies", [value * EV for value in result.scan.energies_hartree]


def _orbitals(result: Result) -> Iterator[tuple[str, Any]]:
    found = result.orbitals
    if found is None:
        return
    sets = [(found.energies_hartree, found.occupations)]
    if found.beta_energies_hartree is not None and found.beta_occupations is not None:
        sets.append((found.beta_energies_hartree, found.beta_occupations))
    yield "nmo", len(found.energies_hartree)
    yield "moenergies", [[energy * EV for energy in energies] for energies, _ in sets]
    yield "homos", [sum(occupation > 0 for occupation in occupations) - 1 for _, occupations in sets]


def _properties(result: Result) -> Iterator[tuple[str, Any]]:
    found, states = result.properties, [state for state in result.states if state.excitation_ev]
    if found is not None and found.dipole_debye is not None:
        yield "moments", [[0.0, 0.0, 0.0], list(found.dipole_debye)]
    if found is not None and found.mulliken_charges is not None:
        yield "atomcharges", {"mulliken": list(found.mulliken_charges)}
    if states:
        yield "etenergies", [(state.excitation_ev or 0.0) * PER_CM_OF_EV for state in states]
    if states and all(state.oscillator_strength is not None for state in states):
        yield "etoscs", [state.oscillator_strength for state in states]


def _vibrations(result: Result) -> Iterator[tuple[str, Any]]:
    found = result.frequencies
    if found is None:
        return
    yield "vibfreqs", list(found.wavenumbers_cm)
    yield "vibirs", list(found.ir_km_mol)
    yield "vibdisps", [list(map(list, mode)) for mode in found.modes]
    yield "vibrmasses", list(found.reduced_masses_amu)
    yield "temperature", found.temperature_k
    yield "pressure", found.pressure_pa / ATMOSPHERE_PA
    yield "zpve", found.zpe_hartree
    yield "enthalpy", found.enthalpy_hartree
    yield "entropy", found.entropy_hartree_per_k
    yield "freeenergy", found.gibbs_hartree
