from typing import final

@final
class FrameScanner:
    frames: int
    messages: int
    after: int
    close_code: int | None
    close_reason: bytes
    closed: bool
    def __new__(cls, masked: bool, max_message: int | None = None, reserved: int = 0x70) -> FrameScanner: ...
    @property
    def at_boundary(self) -> bool: ...
    def feed(self, data: bytes) -> None: ...
    def cut(self, data: bytes) -> int: ...

api: object

def bind(name: str, object: object) -> None: ...
