"""Vehicle identification numbers (ISO 3779) of a simulated fleet."""

import random

# No I, O and Q: they look like digits.
ALPHABET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
MAKER = "WDD"
YEAR_2024 = "R"

_VALUES = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def fleet_vins(count: int, seed: int = 1) -> list[str]:
    """The same for the same seed, and the first of a larger fleet are those of a smaller one."""
    if not 0 <= count <= 1_000_000:
        raise ValueError(f"a fleet has 0 to 1000000 vehicles, not {count}")
    chance = random.Random(seed)  # noqa: S311  the same each time
    model = "".join(chance.choices(ALPHABET, k=5))
    plant = chance.choice(ALPHABET)
    return [_with_check_digit(f"{MAKER}{model}0{YEAR_2024}{plant}{serial:06d}") for serial in range(count)]


def check_digit(vin: str) -> str:
    """What position 9 has to be (49 CFR 565)."""
    rest = sum(_VALUES[letter] * weight for letter, weight in zip(vin, _WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def _with_check_digit(vin: str) -> str:
    return vin[:8] + check_digit(vin) + vin[9:]
