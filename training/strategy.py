"""The tf.distribute strategy a set of flags asks for."""

from __future__ import annotations

import dataclasses
import logging
import os

import tensorflow as tf

from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class DeviceOptions:
    """The device flags (`training.flags.define_device_flags`)."""

    use_tpu: bool = False
    tpu_name: str | None = None
    tpu_zone: str | None = None
    gcp_project: str | None = None
    master: str | None = None
    num_tpu_cores: int = 8


def create_strategy(options: DeviceOptions) -> tf.distribute.Strategy:
    """TPU by flag, several hosts by TF_CONFIG, else all GPUs of this host, else its CPU.

    Raises:
      UserError: `use_tpu` without a TPU that answers, or with another number of cores.
    """
    if options.use_tpu:
        strategy = _tpu_strategy(options)
    elif os.environ.get("TF_CONFIG"):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(tf.config.list_physical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        gpu = tf.config.list_physical_devices("GPU")
        strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if gpu else "/cpu:0")
    logging.info(
        "Strategy: %s with %d replica(s).", type(strategy).__name__, strategy.num_replicas_in_sync
    )
    return strategy


def _tpu_strategy(options: DeviceOptions) -> tf.distribute.Strategy:
    address = options.tpu_name or options.master
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=address or "", zone=options.tpu_zone, project=options.gcp_project
        )
        if resolver.master() not in ("", "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:  # Resolver, gRPC and runtime each raise errors of their own kinds.
        raise UserError(
            f"--use_tpu with --tpu_name={address}: no TPU answers ({error}); check the name, zone "
            "and project, or leave --use_tpu out."
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    found = strategy.num_replicas_in_sync
    if found != options.num_tpu_cores:
        raise UserError(
            f"--num_tpu_cores={options.num_tpu_cores}, but the TPU has {found} cores; pass "
            f"--num_tpu_cores={found}."
        )
    return strategy


def lengths_may_vary(strategy: tf.distribute.Strategy) -> bool:
    """Whether batches may be cut to their longest row (`training.input`).

    On TPUs each shape is a program of its own and the loop over steps runs one program, so there all
    batches have the full length, as in the original.
    """
    return not isinstance(strategy, tf.distribute.TPUStrategy)


def check_batch_size(
    flag: str, batch_size: int, strategy: tf.distribute.Strategy, parts: int = 1
) -> None:
    """Raises a UserError unless a batch divides evenly over replicas and accumulation parts."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * parts):
        raise UserError(
            f"--{flag}={batch_size} cannot be divided evenly over {replicas} replica(s) x {parts} "
            f"gradient accumulation step(s); use a multiple of {replicas * parts}."
        )
