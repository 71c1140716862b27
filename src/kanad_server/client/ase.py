"""An ASE calculator that computes on a server: `KanadCalculator`. Needs the package ase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.units import Bohr, Debye, Hartree

from kanad_server.client.sync import SyncClient


class KanadCalculator(Calculator):  # type: ignore[misc]  # ase is untyped
    """Energy (eV), forces (eV/angstrom) and dipole (e angstrom) of molecules, each an experiment on a server.

    ``KanadCalculator(client, method="dft", basis="def2-svp", charge=-1)``: `fields` are those that `Client.submit`
    takes, but for the molecule and the task.

    Raises (when it computes):
        ValueError: the atoms are periodic.
        ClientError: the server refused it, or the experiment failed.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        "energy",
        "free_energy",
        "forces",
        "dipole",
    ]

    def __init__(self, client: SyncClient, **fields: Any) -> None:
        super().__init__()
        self._client, self._fields = client, {"method": "hf"} | fields

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute what is asked for; ASE calls it."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms.pbc.any():
            raise ValueError("kanad-server computes molecules; switch periodic boundary conditions off (pbc=False)")
        symbols, positions = self.atoms.get_chemical_symbols(), self.atoms.positions.tolist()
        nuclei = [
            {"symbol": symbol, "position_angstrom": position}
            for symbol, position in zip(symbols, positions, strict=True)
        ]
        task = {"name": "energy", "gradient": "forces" in properties}
        result = self._client.submit(molecule={"atoms": nuclei}, task=task, **self._fields).result()
        energy = result.energy_hartree * Hartree
        self.results = {"energy": energy, "free_energy": energy}
        found = result.properties
        if found is not None and found.gradient_hartree_per_bohr is not None:
            self.results["forces"] = -np.array(found.gradient_hartree_per_bohr) * Hartree / Bohr
        if found is not None and found.dipole_debye is not None:
            self.results["dipole"] = np.array(found.dipole_debye) * Debye
