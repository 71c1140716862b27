"""PySCF reads this file in place of the user's: no string is ever evaluated."""

DISABLE_EVAL = True
