"""Molecules: parse one, list the library; estimate what a spec would cost."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from kanad_server.http.body import answer, beside, decoded, read_body
from kanad_server.http.experiments import service_of
from kanad_server.http.specs import decode_spec
from kanad_server.wire import LibraryMolecule, Molecule, MoleculePage, ParsedMolecule
from kanad_solvers.prepare import Parsed


async def parse(request: Request) -> Response:
    """SMILES, XYZ text, atoms or a library name in; nuclei, formula, electrons and warnings out."""
    service = service_of(request)
    body = await read_body(request, service.settings.max_body_bytes)
    return answer(_parsed(await service.intake.parse(await decoded(body, Molecule))))


async def library(request: Request) -> Response:
    """Every molecule of the library, with the source of its geometry."""
    from kanad_solvers.library import all_molecules

    return answer(
        MoleculePage(
            items=[
                LibraryMolecule(
                    name=entry.name,
                    title=entry.title,
                    formula=entry.formula,
                    charge=entry.charge,
                    multiplicity=entry.multiplicity,
                    source=entry.source,
                    geometry=entry.geometry,
                )
                for entry in all_molecules()
            ]
        )
    )


async def estimate(request: Request) -> Response:
    """What a spec would cost, and whether it would be accepted."""
    service = service_of(request)
    body = await read_body(request, service.settings.max_body_bytes)
    return answer((await service.intake.prepare(await beside(decode_spec, body))).estimate)


def _parsed(parsed: Parsed) -> ParsedMolecule:
    return ParsedMolecule(
        formula=parsed.formula,
        charge=parsed.charge,
        multiplicity=parsed.multiplicity,
        electrons=parsed.electrons,
        geometry=parsed.geometry,
        warnings=parsed.warnings,
        orbitals=parsed.orbitals,
    )
