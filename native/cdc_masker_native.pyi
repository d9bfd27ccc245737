from collections.abc import Callable, Sequence
from typing import Any, Never, overload

from cdc_masker.batches import Row as PublishedRow
from cdc_masker.events import Record, Treatment

class Cell:
    @staticmethod
    def keep() -> Cell: ...
    @staticmethod
    def drop() -> Cell: ...
    @staticmethod
    def constant(text: bytes) -> Cell: ...
    @staticmethod
    def call(function: Callable[[bytes, Any], bytes], of_row: bool) -> Cell: ...
    @staticmethod
    def token(
        function: Callable[[bytes, Any], bytes],
        of_string: tuple[str, bytes, bytes] | None,
        of_integer: tuple[str, bytes, bytes, int] | None,
    ) -> Cell: ...
    @staticmethod
    def partial(function: Callable[[bytes, Any], bytes], first: int, last: int, mark: bytes) -> Cell: ...
    @staticmethod
    def card(function: Callable[[bytes, Any], bytes], first: int, last: int, mark: bytes) -> Cell: ...
    @staticmethod
    def truncate(function: Callable[[bytes, Any], bytes], length: int) -> Cell: ...

class Row:
    def __init__(
        self, columns: list[tuple[bytes, bytes, Cell, tuple[bool, bool, bytes | None] | None]], treatment: Treatment
    ) -> None: ...

class Core:
    def __init__(
        self,
        teacher: object,
        context: type,
        *,
        header: str,
        made_by: str,
        headers: set[str],
        excluded: set[str],
        unchanged: list[bytes],
        max_record_bytes: int,
        guard_every: int,
    ) -> None: ...
    def mask(
        self, records: list[Record], subjects: object
    ) -> tuple[
        list[PublishedRow | None],
        list[bytes | None],
        list[tuple[Treatment, int]],
        list[tuple[Treatment, tuple[tuple[str, str], ...]]],
    ]: ...

class Records(Sequence[Record]):
    @staticmethod
    def of(records: list[Record], make: type[Record]) -> Records: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...

class Fetched:
    @staticmethod
    def read(
        raw: bytes,
        topic: str,
        partition: int,
        offset: int,
        aborted: list[tuple[int, int]],
        make: type[Record],
    ) -> Fetched | None: ...
    def take(self, most_records: int, most_bytes: int, record_bytes: int) -> tuple[Records, int]: ...
    @property
    def position(self) -> int: ...
    @property
    def more(self) -> bool: ...

class Rows(Sequence[PublishedRow]):
    @staticmethod
    def of(rows: list[PublishedRow]) -> Rows: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> PublishedRow: ...
    @overload
    def __getitem__(self, index: slice) -> Never: ...
    def encode(self, most_bytes: int) -> list[Encoded]: ...

class Encoded:
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    def build(self, producer_id: int, producer_epoch: int, base_sequence: int) -> bytes: ...
