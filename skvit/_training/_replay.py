"""Capture an update in a CUDA graph, and replay it: one launch in place of hundreds."""

from collections import Counter
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor

_FIRST = 3  # calls that run as they are: libraries set themselves up in them
_CAPTURING = Lock()  # only one capture may be under way in a process

Tensors = tuple[Tensor | None, ...]


class Graph:
    """A captured call: where its arguments are copied to, and where its result lies.

    Parameters
    ----------
    function : callable
        Maps tensors to one tensor; all its work must be on the device.
    arguments : tuple of Tensor or None
        Arguments of the call.
    generator : torch.Generator
        What the function draws from, on the device.
    stream : torch.cuda.Stream
        Where to capture, on the device.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        arguments: Tensors,
        generator: torch.Generator,
        stream: torch.cuda.Stream,
    ) -> None:
        self._inputs = [None if x is None else x.clone() for x in arguments]
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        # other threads, which may train on the same device, go on meanwhile
        capture = torch.cuda.graph(
            self._graph, stream=stream, capture_error_mode="thread_local"
        )
        with _CAPTURING, torch.cuda.device(generator.device), capture:
            self._output = function(*self._inputs)

    def __call__(self, *arguments: Tensor | None) -> Tensor:
        """Do again what was captured, with other arguments of the same shapes."""
        for place, value in zip(self._inputs, arguments, strict=True):
            if place is not None and value is not None:
                place.copy_(value)
        self._graph.replay()
        return self._output.clone()


class Replay:
    """A function that is captured once for each shape of its arguments.

    Small networks are bound by the time that Python needs to launch their kernels;
    a graph launches all of them at once. The first calls run as they are.

    Parameters
    ----------
    function : callable
        Maps tensors to one tensor; all its work must be on the device.
    generator : torch.Generator
        What the function draws from, on the device.
    """

    def __init__(
        self, function: Callable[..., Tensor], generator: torch.Generator
    ) -> None:
        self._function = function
        self._generator = generator
        self._stream = torch.cuda.Stream(generator.device)
        self._seen: Counter[tuple] = Counter()
        self._graphs: dict[tuple, Graph] = {}

    def __call__(self, *arguments: Tensor | None) -> Tensor:
        """Call the function, or replay what it did for such arguments."""
        key = tuple(None if x is None else (x.shape, x.dtype) for x in arguments)
        self._seen[key] += 1
        if self._seen[key] <= _FIRST:
            return self._run_aside(arguments)
        if key not in self._graphs:
            self._graphs[key] = Graph(
                self._function, arguments, self._generator, self._stream
            )
        return self._graphs[key](*arguments)

    def _run_aside(self, arguments: Tensors) -> Tensor:
        """Call the function on the stream that will be captured."""
        usual = torch.cuda.current_stream(self._generator.device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            result = self._function(*arguments)
        usual.wait_stream(self._stream)
        return result
