"""What botocore does anew for each session and each client, done once: half of the time that a client takes.

A test that runs a command makes ten clients, and there are thousands. Nothing here depends on a Region, an
endpoint or credentials, so that a client does the same as without.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.hooks
import botocore.loaders
from botocore.client import ClientCreator
from botocore.hooks import EventAliaser, NodeList, _PrefixTrie

if TYPE_CHECKING:
    from botocore.model import ServiceModel

_create_client_class = ClientCreator._create_client_class
_accepts_kwargs = cache(botocore.hooks.accepts_kwargs)
_classes: dict[str, type] = {}


def _class_of(creator: ClientCreator, service: str, model: "ServiceModel") -> type:
    if service not in _classes:
        _classes[service] = _create_client_class(creator, service, model)
    return _classes[service]


def _copied(_trie: _PrefixTrie, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what botocore's own does, without copy.copy for each of 400 handlers."""
    return {"_root": _copied_node(attributes["_root"])}


def _copied_node(node: dict[str, Any]) -> dict[str, Any]:
    handlers = node["values"]
    children = {chunk: _copied_node(child) for chunk, child in node["children"].items()}
    copied = NodeList(handlers[0][:], handlers[1][:], handlers[2][:]) if handlers else handlers
    return {"chunk": node["chunk"], "children": children, "values": copied}


def make_quick() -> None:
    """Let all clients of this process share what they have in common."""
    botocore.loaders.create_loader = cache(botocore.loaders.create_loader)
    EventAliaser._alias_event_name = EventAliaser(None)._alias_event_name
    ClientCreator._create_client_class = _class_of
    # A handler is mostly a method of a client or of a session, which a cache must not keep.
    botocore.hooks.accepts_kwargs = lambda handler: _accepts_kwargs(getattr(handler, "__func__", handler))
    _PrefixTrie._recursive_copy = _copied
