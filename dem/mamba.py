"""What LoRA on the Mamba family needs: which modules to adapt, no fused kernel past them, a scan where no kernel is.

Shapes use b: batch, l: length in tokens, d: inner width, n: state size. The recurrence is that of Mamba
(Gu & Dao 2023, arXiv 2312.00752, algorithm 2, with the Euler step for B as in its reference code):

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t        y_t = C_t . h_t
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
import torch.nn.functional as F
from peft import PeftModel
from peft.tuners import tuners_utils
from transformers import PreTrainedModel

from dem.errors import RequestError
from dem.families import FAMILIES
from dem.kernel_choice import take_kernels
from dem.scan import scan_on_cpu


def target_modules(model: PreTrainedModel, chosen: str | list[str]) -> list[str] | None:
    """The modules to adapt; None leaves the choice to PEFT.

    Raises:
        RequestError: a chosen module cannot train.
    """
    model_type = model.config.model_type
    family = FAMILIES.get(model_type)
    if chosen == "auto":
        present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        return [name for name in family.targets if name in present] if family else None
    for name in chosen:
        if family and name.rpartition(".")[2] in family.bypassed:
            raise RequestError(
                f"lora.target_modules: {name} cannot train in a {model_type} model: its weight is read directly and "
                f"LoRA around it has no effect; choose from {', '.join(family.targets + family.others)}"
            )
    return list(chosen)


def prepare(model_type: str, kernels: str = "auto") -> list[str]:
    """Make transformers' models of this type fit for LoRA in this process; safe to call again.

    The fused kernel takes the raw weights of out_proj (and x_proj) past any LoRA around them. Without it the mixer
    calls both as modules, still with a kernel for the scan and one for the convolution: `dem.kernel_choice` chooses by
    `kernels`. Where a Mamba-1 has no scan kernel, `selective_scan` replaces the loop whose backward is quadratic in
    length.

    Returns:
        Where each kernel comes from, for the log; nothing for a model that has none.

    Raises:
        RequestError: what `kernels` names cannot be had.
    """
    if model_type not in FAMILIES:
        return []
    remove_fused_kernel(model_type)
    line = f"{FAMILIES[model_type].fused}: off, because it would pass LoRA on out_proj by"
    return [line, *take_kernels(_modeling(model_type), model_type, kernels, selective_scan)]


def remove_fused_kernel(model_type: str) -> None:
    """Make the mixers of this type go the way of the separate steps, on which out_proj is called as a module."""
    setattr(_modeling(model_type), FAMILIES[model_type].fused, lambda *args, **kwargs: None)


def _modeling(model_type: str) -> ModuleType:
    return importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")


def how_to_load(model: PeftModel) -> str:
    """For the log: whether PEFT alone loads the model's adapter, or what it needs besides."""
    targets = {name.rpartition(".")[2] for name in model.targeted_module_names}
    try:
        for target in targets:
            tuners_utils._check_lora_target_modules_mamba(model.peft_config["default"], model, target)
    except ValueError:
        return (
            "adapter: PEFT alone refuses to load it, because of LoRA on out_proj; elsewhere load it inside "
            "dem.mamba.out_proj_allowed()"
        )
    return "adapter: PEFT alone loads it"


@contextmanager
def out_proj_allowed() -> Iterator[None]:
    """Lift PEFT's refusal of LoRA on out_proj for the models from which the cause can be removed.

    PEFT refuses when training and when loading. conv1d stays refused.
    """
    refuse = tuners_utils._check_lora_target_modules_mamba

    def refuse_others(peft_config, model, target_name):
        model_type = getattr(model.config, "model_type", None)
        if target_name == "out_proj" and model_type in FAMILIES:
            remove_fused_kernel(model_type)
        else:
            refuse(peft_config, model, target_name)

    tuners_utils._check_lora_target_modules_mamba = refuse_others
    try:
        yield
    finally:
        tuners_utils._check_lora_target_modules_mamba = refuse


def selective_scan(
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **unused,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The signature of mamba_ssm's `selective_scan_fn`, computed in at least float32 in time linear in length.

    Args:
        hidden_states, dt, z: (b, d, l). A: (d, n), negative. B, C: (b, n, l). D, delta_bias: (d,).

    Returns:
        y, (b, d, l) in the dtype of hidden_states; with `return_last_state` also the state (b, d, n).
    """
    dtype = torch.promote_types(hidden_states.dtype, torch.float32)
    dt = dt.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    scan = scan_on_cpu if hidden_states.device.type == "cpu" else _scan_in_pytorch
    y, state = scan(hidden_states.to(dtype), dt, A.to(dtype), B.to(dtype), C.to(dtype))
    if D is not None:
        y = y + hidden_states * D[:, None]
    if z is not None:
        y = y * F.silu(z)
    y = y.to(hidden_states.dtype)
    return (y, state) if return_last_state else y


def _scan_in_pytorch(u, dt, A, B, C):
    """`dem.scan.scan_on_cpu` for a GPU without a kernel."""
    u, dt, B, C = (x.permute(2, 0, 1).contiguous() for x in (u, dt, B, C))
    y, state = (_Scan.apply if torch.is_grad_enabled() else _scan_without_gradient)(u, dt, A, B, C)
    return y.permute(1, 2, 0), state


class _Scan(torch.autograd.Function):
    """The recurrence over time-major tensors: u, dt (l, b, d); A (d, n); B, C (l, b, n) -> y (l, b, d), h_l (b, d, n).

    Only the state before each chunk of CHUNK steps is kept; the backward pass computes a chunk's states again in
    buffers that all chunks share, so that both passes work in cache and touch no fresh (l, b, d, n) memory.
    """

    CHUNK = 16  # 8 to 32 are alike on a CPU; the kept states are 1/CHUNK of all

    @staticmethod
    def forward(ctx, u, dt, A, B, C):
        (length, b, d), n = u.shape, A.shape[1]
        chunks = range(0, length, _Scan.CHUNK)
        decay, states = u.new_empty(_Scan.CHUNK, b, d, n), u.new_empty(_Scan.CHUNK, b, d, n)
        before = u.new_empty(len(chunks), b, d, n)
        h, y = u.new_zeros(b, d, n), torch.empty_like(u)
        with torch.autocast(u.device.type, enabled=False):
            for i, start in enumerate(chunks):
                t = slice(start, min(start + _Scan.CHUNK, length))
                before[i] = h
                states_t = _chunk_states(u[t], dt[t], A, B[t], before[i], decay, states)[1]
                h.copy_(states_t[-1])
                y[t] = (states_t @ C[t].unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(u, dt, A, B, C, before)
        return y, h

    @staticmethod
    def backward(ctx, grad_y, grad_h):
        u, dt, A, B, C, before = ctx.saved_tensors
        length, shape = u.shape[0], (_Scan.CHUNK, *before.shape[1:])
        decay, states, grads = (u.new_empty(shape) for _ in range(3))
        grad_u, grad_dt, grad_B, grad_C = (torch.empty_like(x) for x in (u, dt, B, C))
        grad_A, carry = torch.zeros_like(A), grad_h.clone()
        with torch.autocast(u.device.type, enabled=False):
            for i in reversed(range(len(before))):
                t = slice(i * _Scan.CHUNK, min((i + 1) * _Scan.CHUNK, length))
                a, h = _chunk_states(u[t], dt[t], A, B[t], before[i], decay, states)
                grad_C[t] = (grad_y[t].unsqueeze(-2) @ h).squeeze(-2)
                g = _chunk_state_gradients(grad_y[t], C[t], a, carry, grads)
                grad_B[t] = ((dt[t] * u[t]).unsqueeze(-2) @ g).squeeze(-2)
                g_B = (g @ B[t].unsqueeze(-1)).squeeze(-1)
                grad_u[t] = g_B * dt[t]
                # From here on `a` holds the gradient by dt_t A: that of the decay times the decay.
                a.mul_(g)
                a[1:].mul_(h[:-1])
                a[0].mul_(before[i])
                grad_dt[t] = g_B * u[t] + torch.einsum("tbdn,dn->tbd", a, A)
                if ctx.needs_input_grad[2]:
                    grad_A += torch.einsum("tbdn,tbd->dn", a, dt[t])
        return grad_u, grad_dt, grad_A, grad_B, grad_C


def _scan_without_gradient(u, dt, A, B, C):
    """`_Scan` where nothing is kept for a backward pass."""
    (length, b, d), n, chunk = u.shape, A.shape[1], _Scan.CHUNK
    decay, states = u.new_empty(chunk, b, d, n), u.new_empty(chunk, b, d, n)
    decay_at, state_at = decay.unbind(), states.unbind()
    h, y = u.new_zeros(b, d, n), torch.empty_like(u)
    inflow, dt, B, C, out = (dt * u).unsqueeze(-1), dt.unsqueeze(-1), B.unsqueeze(-2), C.unsqueeze(-1), y.unsqueeze(-1)
    with torch.autocast(u.device.type, enabled=False):
        for start in range(0, length, chunk):
            t = slice(start, min(start + chunk, length))
            steps = t.stop - start
            torch.mul(dt[t], A, out=decay[:steps]).exp_()
            torch.mul(inflow[t], B[t], out=states[:steps])
            for k in range(steps):
                h = state_at[k].addcmul_(decay_at[k], h)
            torch.matmul(states[:steps], C[t], out=out[t])
            h = h.clone()  # its place is written to by the next chunk
    return y, h


def _chunk_states(u, dt, A, B, before, decay, states):
    """Decays exp(dt A) and states h, both (t, b, d, n), of a chunk of t steps, written into the given buffers."""
    decay, states = decay[: len(u)], states[: len(u)]
    torch.mul(dt.unsqueeze(-1), A, out=decay).exp_()
    torch.mul((dt * u).unsqueeze(-1), B.unsqueeze(-2), out=states)
    h = before
    for k in range(len(u)):
        h = states[k].addcmul_(decay[k], h)
    return decay, states


def _chunk_state_gradients(grad_y, C, decay, carry, grads):
    """Gradients by the states h of a chunk, (t, b, d, n) in the buffer `grads`.

    `carry` (b, d, n) holds what comes to the chunk's last state from the steps after it, and is replaced by what the
    chunk hands to the step before it.
    """
    grads = grads[: len(C)]
    torch.mul(grad_y.unsqueeze(-1), C.unsqueeze(-2), out=grads)
    grads[-1].add_(carry)
    for k in reversed(range(len(C) - 1)):
        grads[k].addcmul_(decay[k + 1], grads[k + 1])
    torch.mul(decay[0], grads[0], out=carry)
    return grads
