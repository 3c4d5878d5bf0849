"""A loaded base model that computes as if weighted differences had been added to it; nothing is merged or written.

What a linear module's low-rank difference adds to its output is computed beside it: y + (x R^T * w) L^T, the factors of
all domains joined. What is no product on a module that is called (a fully fine-tuned model's difference, an embedding,
a norm, a weight that a mixer reads by itself) takes the slower way: before each evaluation the parameter itself is set
to base + sum_i w_i diff_i, and the gradient by w_i is <gradient by the parameter, diff_i>.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from dem.changed_modules import Factors, changed_names, is_called, places_of
from dem.checkpoints import Checkpoint
from dem.diffs import Difference
from dem.search.numbering import group_numbers, numbered


@dataclass(frozen=True)
class _Product:
    """The joined factors of one module's changes of the parameter `name`.

    The left one is in half precision where the model is: what it gives is added to what has been rounded to that.
    """

    name: str
    left: torch.Tensor
    right: torch.Tensor


class Terms:
    """`model` plus weighted differences; `weights` are what each, or each column of its factors, is multiplied by.

    The coefficients of the sum, that is: merge.scale and the normalisation included. An array of them may have any
    shape, such as (domains, groups); it is read in its flat order, as `number` has numbered them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        differences: dict[str, Difference],
        factors: dict[str, dict[str, Factors]],
        group_of: Sequence[int] | None = None,
    ):
        """Of a loaded base, in any dtype and on any device, whose weights `checkpoint` holds.

        Args:
            differences: by domain.
            factors: by domain, those of `factors_of`.
            group_of: the number of the group of each name in `changed`; without it, all are in group 0.
        """
        self.model = model
        self.domains = list(differences)
        self.changed = changed_names(differences)
        self.weights = torch.zeros(0, dtype=torch.float32)
        self._checkpoint, self._differences = checkpoint, differences
        places = places_of(model, checkpoint)
        self._products: dict[nn.Module, _Product] = {}
        self.slow: dict[str, list[nn.Parameter]] = {}
        """The parameters that take the slower way, by stored name."""
        for name in self.changed:
            product = self._product(name, factors)
            if product and all(is_called(model, path, module) for path, module, _ in places[name]):
                self._products |= {module: product for _, module, _ in places[name]}
            else:
                parameters = {id(p): p for _, module, own in places[name] if (p := module._parameters[own]) is not None}
                self.slow[name] = list(parameters.values())
        self._columns = {
            (d, name): 1 if name in self.slow else factors[d][name][1].shape[0]
            for d in self.domains
            for name in self.changed
            if name in differences[d]
        }
        self.number(group_numbers(self.changed, group_of))

    def number(self, groups: dict[str, int] | str) -> None:
        """Say which weights there are, as `numbered` takes `groups`."""
        device = next(self.model.parameters()).device
        self.numbering = numbered(self.domains, self._columns, groups)
        self._joined = {
            name: torch.cat([self.numbering.of[d, name] for d in self.domains if (d, name) in self._columns]).to(device)
            for name in {product.name for product in self._products.values()}
        }

    def _product(self, name: str, factors: dict[str, dict[str, Factors]]) -> _Product | None:
        """The joined factors of one parameter's changes; None if a domain's change of it is no product."""
        device = next(self.model.parameters()).device
        own = [factors[d].get(name) for d in self.domains if name in self._differences[d]]
        if any(pair is None for pair in own):
            return None
        lefts, rights = zip(*own, strict=True)
        dtype = self.model.get_input_embeddings().weight.dtype
        half = dtype if dtype in (torch.float16, torch.bfloat16) else torch.float32
        return _Product(name, torch.cat(lefts, 1).to(device, half), torch.cat(rights).to(device))

    @contextmanager
    def applied(self, weights: np.ndarray, gradient: bool) -> Iterator[None]:
        """While it lasts, the model computes with these `weights`.

        With `gradient`, the model's activations are computed once more in the backward pass, a layer at a time, and
        `take_gradient` gives what has come together.
        """
        device = next(self.model.parameters()).device
        self.weights = torch.tensor(weights, dtype=torch.float32, device=device, requires_grad=gradient)
        trained = {id(p): p.requires_grad for p in self.model.parameters()}
        hooks = [module.register_forward_hook(self._adding(product)) for module, product in self._products.items()]
        undo = _recompute_layers(self.model) if gradient else []
        try:
            self.model.requires_grad_(False)
            flat = self.weights.detach().flatten().tolist()
            for name, parameters in self.slow.items():
                self._set(name, parameters, flat, gradient)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for layer in undo:
                del layer.forward
            for name, parameters in self.slow.items():
                self._reset(name, parameters)
            for parameter in self.model.parameters():
                parameter.requires_grad_(trained[id(parameter)])

    def take_gradient(self) -> np.ndarray:
        """The gradient by the weights, in their shape, of what was differentiated since it was last taken, float64."""
        own = self.weights.grad
        total = torch.zeros_like(self.weights, dtype=torch.float64) if own is None else own.double()
        total = total.cpu().detach().numpy()
        for name, parameters in self.slow.items():
            grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
            for domain in self.domains:
                if grads and name in self._differences[domain]:
                    change = self._differences[domain].read(name).flatten()
                    inner = sum(torch.dot(grad.float().cpu().flatten(), change) for grad in grads)
                    total.flat[int(self.numbering.of[domain, name][0])] += float(inner)
        self.forget_gradient()
        return total

    def forget_gradient(self) -> None:
        """Drop what was differentiated since the gradient was last taken."""
        self.weights.grad = None
        for parameters in self.slow.values():
            for parameter in parameters:
                parameter.grad = None

    def _adding(self, product: _Product):
        def add(_: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
            narrow = F.linear(inputs[0].float(), product.right) * self.weights.view(-1)[self._joined[product.name]]
            return output + F.linear(narrow.to(product.left.dtype), product.left).to(output.dtype)

        return add

    @torch.no_grad()
    def _set(self, name: str, parameters: list[nn.Parameter], weights: list[float], gradient: bool) -> None:
        value = self._checkpoint.read(name).to(torch.float32, copy=True)
        for domain in self.domains:
            if name not in self._differences[domain]:
                continue
            if weight := weights[int(self.numbering.of[domain, name][0])]:
                value += weight * self._differences[domain].read(name).view(value.shape)
        for parameter in parameters:
            parameter.copy_(value.view(parameter.shape)).requires_grad_(gradient)

    @torch.no_grad()
    def _reset(self, name: str, parameters: list[nn.Parameter]) -> None:
        value = self._checkpoint.read(name)
        for parameter in parameters:
            parameter.copy_(value.view(parameter.shape))
            parameter.grad = None


def _recompute_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Let each layer keep only its input for the backward pass; returns the layers whose `forward` was set."""
    layers = list(next((m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)), []))
    for layer in layers:
        layer.forward = _recomputed(layer.forward)
    return layers


def _recomputed(forward):
    def recomputed(*inputs, **named):
        return torch.utils.checkpoint.checkpoint(forward, *inputs, use_reentrant=False, **named)

    return recomputed
