"""The elements H to Rn."""

from __future__ import annotations

SYMBOLS = tuple(
    ["H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn"]
)
ATOMIC_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS, 1)}

_NOBLE_GASES = (2, 10, 18, 36, 54, 86)


def core_orbitals(symbol: str) -> int:
    """Orbitals of the noble gas below an element: what a frozen core leaves out.

    Filled d and f shells of the fourth row on are counted as PySCF's `chemcore` does for the main group.
    """
    number = ATOMIC_NUMBER[symbol]
    electrons = max((gas for gas in _NOBLE_GASES if gas < number), default=0)
    return electrons // 2
