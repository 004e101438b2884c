"""The loop's core: from everything observed of one Pack to what is to be done and told.

Pure, idempotent and total: it reads no clock and calls nobody, gives the same answer to the same observation, and
raises on none. Adapters feed it: files and Ray on one machine, Kubernetes' API on a cluster.
"""

from __future__ import annotations

from datetime import datetime

from packline_operator.domain import Action, ApplyServing, ForgetPack, Observed, Outcome, RegisterPack, RemovePack
from packline_operator.facts import Peer
from packline_operator.moves import Move
from packline_operator.placing import obstacle, placed
from packline_operator.reasons import Reason
from packline_operator.rollout import next_move
from packline_operator.serving import application, differences, digest
from packline_operator.telling import events, tell
from packline_operator.training_rules import training_to_start


def reconcile(observed: Observed, now: datetime) -> Outcome:
    """One pass over one Pack.

    Args:
        observed: Everything that may be looked at.
        now: UTC-aware.

    Returns:
        Actions in their order, the status, and the events that are new.
    """
    if observed.deleting:
        return _delete(observed, now)
    actions: list[Action] = []
    registry, pack = observed.registry, observed.manifest
    move = next_move(observed, now)
    before = observed.status.applied if observed.status else ""
    applied = before
    found: tuple[str, ...] = ()
    if pack is not None:
        blocked = obstacle(observed) is not None
        served = observed.serving is not None and observed.serving.config is not None
        silent = Peer.TRAINING in observed.unreachable or (blocked and not served)
        if not silent and (registry is None or dict(registry.spec) != _spec(observed)):
            actions.append(RegisterPack(pack.to_json()))
        if registry is not None and observed.serving is not None:
            wanted = application(pack, registry)
            if blocked:
                wanted = placed(wanted, observed.serving.config)
            differing = tuple(differences(observed.serving.config, wanted))
            if differing and (served or not blocked):
                actions.append(ApplyServing(wanted))
                # As it was last seen in place, and wanted so still: then it was not this loop that changed it.
                found = differing if before == digest(wanted) else ()
            elif not differing:
                applied = digest(wanted)
        start = training_to_start(observed, now)
        actions += [action for action in (move.action, start) if action is not None]
    status = tell(observed, move, applied, now)
    return Outcome(tuple(actions), status, tuple(events(observed, status, found, now)))


def _delete(observed: Observed, now: datetime) -> Outcome:
    """First no caller is answered any more, then nothing is remembered, and last the manifest goes."""
    actions: tuple[Action, ...] = ()
    if observed.serving is not None:
        if observed.serving.config is not None:
            actions = (ApplyServing(None),)
        elif not observed.serving.status:
            actions = (ForgetPack(Peer.TRAINING), ForgetPack(Peer.MONITORING), RemovePack())
    move = Move(Reason.DELETING, "The Pack is being deleted.")
    status = tell(observed, move, "", now)
    return Outcome(actions, status, tuple(events(observed, status, (), now)))


def _spec(observed: Observed) -> dict[str, object]:
    manifest = observed.manifest
    return manifest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True) if manifest else {}
