"""Apply the rules about what a model was made from, itself and all its ancestors. Pure.

Every failed line names the ancestor and what to do. What nobody knows about an ancestor fails too; a person may accept
it by name in the policy (`accepted`), never a licence, a camera or a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from models.lineage.hashes import Match, PictureHashes, find, of_pictures
from models.lineage.records import CHANGED_CODE, UNKNOWN_CODE, Ancestor, DataSet
from models.registry.benchmark import COUNTS
from models.registry.figures import SetFigures
from models.registry.gate_input import GateInput
from models.registry.lineage import Lineage
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult, fact, not_part


def origin(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that run, code, settings, weights and data of the model and of all its ancestors are known."""
    lineage = gate_input.lineage
    training = lineage.training
    if training is None:
        yield fact("origin", "training", True, "none stated: published weights")
    else:
        for what in ("run", "config_sha256", "parent"):
            stated: str = getattr(training, what)
            yield fact("origin", what.replace("_", " "), bool(stated), stated[:40] or "not stated")
        dirty = not training.code or CHANGED_CODE in training.code or UNKNOWN_CODE in training.code
        yield fact("origin", "code", not dirty, _code(training.code) if dirty else training.code[:40])
        yield fact("origin", "data", bool(training.data), f"{len(training.data)} data sets")
        for one in training.data:
            yield fact("origin", f"{one.name} sha256", bool(one.sha256), one.sha256[:12] or "not stated")
    yield fact("origin", "record", not lineage.fault, lineage.fault or f"{len(lineage.ancestors)} steps")
    recorded = {one.sha256 for ancestor in lineage.ancestors for one in ancestor.sets}
    for one in lineage.data if not lineage.fault else ():
        if one.sha256 not in recorded:
            says = "the manifest names it, the record of ancestors does not: export again"
            yield fact("origin", f"{one.name} in the record", False, says)
    for ancestor in lineage.ancestors:
        yield from _ancestor(policy, ancestor)


def _code(code: str) -> str:
    return f"{code[:60] or 'not stated'}: nobody can tell which code made it; commit, and train and export again"


def _ancestor(policy: Policy, ancestor: Ancestor) -> Iterator[RuleResult]:
    step, accepted = ancestor.step, policy.acceptance(ancestor)
    if step.kind == "unrecorded":
        says = f"{(step.origin or ancestor.id)[:12]} has no record of what it was made from: begin from others"
    elif step.dirty:
        says = _code(step.code)
    elif step.kind == "published":
        says = "" if step.origin and step.licence else "published weights without origin or licence: state both"
    else:
        says = "" if step.config_sha256 and step.parents else "its settings or its first weights are not stated"
    passed = not says or bool(accepted)
    shown = f"accepted: {accepted}" if says and accepted else f"{says} (step {ancestor.id[:12]})" if says else step.kind
    yield fact("origin", ancestor.called, passed, shown)


def licence(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that weights and every data set, of all ancestors too, may ship, and that the credits owed are there."""
    lineage = gate_input.lineage
    yield _licence(policy, "weights", lineage.licence)
    for ancestor in lineage.ancestors:
        if ancestor.step.kind != "unrecorded":  # origin refuses those
            yield _licence(policy, f"weights of {ancestor.called}", ancestor.step.licence)
    for who, one in lineage.users:
        subject = f"{one.name} of {who}" if who else one.name
        remedy = f"{who} learned from it: begin from weights that did not" if who else "measured, never promoted"
        yield _licence(policy, subject, one.licence, remedy)
    for ancestor in lineage.ancestors:
        for one in ancestor.sets:
            if {*one.licences} & policy.credited:
                says = f"{one.credited} of {one.images} pictures have their credit"
                passed = one.credited >= one.images and one.images > 0
                note = "" if passed else f"; {one.licence} asks for each: import with --credits, then train again"
                yield fact("licence", f"credits of {one.name} of {ancestor.called}", passed, says + note)


def _licence(policy: Policy, subject: str, stated: str, remedy: str = "measured, never promoted") -> RuleResult:
    wrong = [one for one in stated.split(" AND ") if one not in policy.licences]
    shown = stated or "none stated"
    return fact("licence", subject, not wrong, f"{shown}: {remedy}" if wrong else shown)


def attribution(_policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that the manifest says what is owed to the makers of the first weights and of all pictures."""
    lineage = gate_input.lineage
    missing = [line for line in lineage.owed if line not in lineage.attributed]
    says = f"not said in the manifest: {missing[0]}; export again" if missing else f"{len(lineage.owed)} lines"
    yield fact("attribution", "manifest", bool(lineage.owed) and not missing, says if lineage.owed else "no record")


def unseen(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that neither the model nor an ancestor was trained on, or chosen by, what evaluates it."""
    lineage = gate_input.lineage
    for who, one in lineage.unknown:
        yield fact("unseen", f"training data {_named(who, one)}", False, "its cameras are not stated")
    yield from _hashes_known(policy, lineage)
    for name, found in gate_input.measured.sets.items():
        passed, says = _set(lineage, found)
        yield fact("unseen", name, passed, says)
    if why := policy.lacks(COUNTS):
        yield not_part("unseen", "clips", why)
    else:
        yield from _clips(gate_input)


def _named(who: str, one: DataSet) -> str:
    return f"{one.name} of {who}" if who else one.name


def _hashes_known(policy: Policy, lineage: Lineage) -> Iterator[RuleResult]:
    """Check, once for each data set, that its pictures can be compared with those that evaluate."""
    users: dict[str, list[tuple[Ancestor, DataSet]]] = {}
    for ancestor in lineage.ancestors:
        for one in ancestor.sets:
            users.setdefault(one.hashes or f"{one.name} {one.sha256} {one.split}", []).append((ancestor, one))
    for found in users.values():
        one = found[0][1]
        known = lineage.hashes.get(one.hashes)
        lacking = one.images if known is None else int((~known.known).sum())
        if not lacking:
            continue
        refused = next((ancestor for ancestor, _ in found if not policy.acceptance(ancestor)), None)
        who = refused or found[0][0]
        says = f"{lacking} of {one.images} pictures have no perceptual hash, so nobody can tell whether they evaluate"
        remedy = f"begin from weights whose pictures are recorded (step {who.id[:12]})"
        shown = f"{says}: {remedy}" if refused else f"accepted: {policy.acceptance(who)}"
        yield fact("unseen", f"pictures of {_named(who.called, one)}", refused is None, shown)


def _set(lineage: Lineage, found: SetFigures) -> tuple[bool, str]:
    """Return whether a set is unseen, and what is said of it."""
    known = lineage.cameras
    both = sorted({*known} & {*found.cameras})
    if both:
        return False, f"{both[0]} is in the training{_of(known[both[0]])}"
    again = next((who for who, one in lineage.users if one.sha256 and one.sha256 == found.sha256), None)
    if again is not None:
        return False, f"the set itself was trained on{_of(again)}"
    if not found.cameras or not found.pictures:
        return False, "its cameras or the hashes of its pictures are not listed: evaluate it again"
    match = _match(lineage, of_pictures((sha256, text) for _, sha256, text in found.pictures))
    if match:
        one, who, near, count = match
        name = sorted((sha256, text, name) for name, sha256, text in found.pictures)[near.place][2]
        how = "is" if near.bits == 0 else f"differs in {near.bits} of 256 bits from"
        return False, f"{name} {how} a picture of {one.name}{_of(who)} ({count} such pictures): judge by others"
    return True, f"{len(found.cameras)} cameras and {len(found.pictures)} pictures, none in the training"


def _match(lineage: Lineage, wanted: PictureHashes) -> tuple[DataSet, str, Match, int] | None:
    """Return the data set that has most of the pictures, who used it, the nearest match and their number."""
    worst: tuple[DataSet, str, Match, int] | None = None
    for ancestor in lineage.ancestors:
        for one in ancestor.sets:
            matches = find(wanted, lineage.hashes[one.hashes]) if one.hashes in lineage.hashes else []
            if matches and (worst is None or len(matches) > worst[3]):
                worst = one, ancestor.called, min(matches, key=lambda match: match.bits), len(matches)
    return worst


def _of(who: str) -> str:
    return f" of {who}" if who else ""


def _clips(gate_input: GateInput) -> Iterator[RuleResult]:
    lineage, counting = gate_input.lineage, gate_input.measured.counting
    known = lineage.cameras
    named = [(clip, name) for clip in counting.clips for name in (clip, PurePath(clip).stem) if name in known]
    says = f"{named[0][0]} is in the training{_of(known[named[0][1]])}" if named else f"{len(counting.clips)} clips"
    passed = bool(counting.clips) and not named
    for clip in counting.clips if passed else ():
        frames = counting.frames.get(clip, ())
        if not frames:
            passed, says = False, f"the frames of {clip} are not listed: evaluate it again"
            break
        match = _match(lineage, of_pictures((f"{place:064x}", text) for place, text in enumerate(frames)))
        if match:
            one, who, near, _ = match
            says = f"a frame of {clip} differs in {near.bits} of 256 bits from a picture of {one.name}{_of(who)}"
            passed = False
            break
    yield fact("unseen", "clips", passed, says)
