"""The way of an item through Scrapy, without what Scrapy does for each item and nobody asked for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydispatch.dispatcher import getAllReceivers  # type: ignore[import-untyped]
from scrapy.pipelines import ItemPipelineManager
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.python import global_object_name


class ItemProcessor(ItemPipelineManager):
    """Scrapy's own makes a coroutine of the answer of each pipeline to each item, and the pipeline's name for a
    warning. This one does so only where a pipeline does not give an item of ours at once: a coroutine, say.
    """

    async def process_item_async(self, item: Any) -> Any:
        if self._mw_methods_requiring_spider:  # pipelines of a user as old Scrapy had them
            return await super().process_item_async(item)
        methods: Any = self.methods["process_item"]
        for method in methods:
            item = method(item)
            if not isinstance(item, BaseModel):
                item = await ensure_awaitable(item, _warn=global_object_name(method))
        return item


class Signals(SignalManager):
    """Scrapy's own prepares for receivers of a signal also where there are none, as of most items."""

    async def send_catch_log_async(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        sender = kwargs.setdefault("sender", self.sender)
        if next(getAllReceivers(sender, signal), None) is None:
            return []
        return await super().send_catch_log_async(signal, **kwargs)
