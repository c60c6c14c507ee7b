"""The tf.distribute strategy a set of flags asks for, and what its workers do together.

Every worker of a job reads all input (of sharded records, its own files), takes its rows of each
batch, and comes to the same weights, metrics and predictions. Only the chief, the worker of replica
0, writes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import tensorflow as tf

from common.errors import UserError
from common.overlap import prefetched
from training.devices import describe_devices, warn_of_unused_gpu
from training.options import DeviceOptions
from training.workers import wait_for_workers

Item = TypeVar("Item")


def create_strategy(options: DeviceOptions) -> tf.distribute.Strategy:
    """TPU by flag, several hosts by TF_CONFIG, else all GPUs of this host, else its CPU.

    To be called before TensorFlow computes anything in a process: the connections of a worker are
    made together with its devices. Later runs in the process get the strategy of the first run:
    connections are made once, TensorFlow confuses the sums over replicas of two strategies on the
    same devices, and what was compiled for one strategy cannot be used with another.

    Raises:
      UserError: `use_tpu` without a TPU that answers, or with another number of cores; TF_CONFIG is
        not a cluster of workers; a worker does not answer.
    """
    if options.use_tpu:
        address = options.tpu_name or options.master
        strategy = _tpu_strategy(address, options.tpu_zone, options.gcp_project)
        found = strategy.num_replicas_in_sync
        if found != options.num_tpu_cores:
            raise UserError(
                f"--num_tpu_cores={options.num_tpu_cores}, but the TPU has {found} cores; pass "
                f"--num_tpu_cores={found}."
            )
    elif tf_config := os.environ.get("TF_CONFIG"):
        strategy = _multi_worker_strategy(tf_config, options.worker_timeout)
    else:
        # Logical devices: a CPU (or GPU) can be divided, which tests do.
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
        strategy = _local_strategy(*names)
        warn_of_unused_gpu()
    logging.info("Device: %s.", describe_devices(strategy))
    return strategy


@functools.cache
def _local_strategy(*names: str) -> tf.distribute.Strategy:
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names)


@functools.cache
def _tpu_strategy(
    address: str | None, zone: str | None, project: str | None
) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=address or "", zone=zone, project=project
        )
        if resolver.master() not in ("", "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:  # Resolver, gRPC and runtime each raise errors of their own kinds.
        raise UserError(
            f"--use_tpu: no TPU answers at {address or 'the default address'} ({error}); check "
            "--tpu_name (or --master), --tpu_zone and --gcp_project, or leave --use_tpu out."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def lengths_may_vary(strategy: tf.distribute.Strategy) -> bool:
    """Whether batches may be cut to their longest row (`data.batches`).

    On TPUs each shape is a program of its own and the loop over steps runs one program, so there all
    batches have the full length, as in the original.
    """
    return not isinstance(strategy, tf.distribute.TPUStrategy)


def _tf_config(text: str) -> dict[str, Any]:
    """The content of TF_CONFIG, checked."""
    example = (
        '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        cluster = config["cluster"]
        task = config["task"]["type"]
        cluster[task][int(config["task"]["index"])]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"TF_CONFIG={text} does not describe a cluster and this worker's place in it "
            f"({type(error).__name__}: {error}); expected the form {example}."
        ) from None
    if set(cluster) - {"chief", "worker"}:
        raise UserError(
            f"TF_CONFIG has tasks of the types {', '.join(sorted(cluster))}; only worker (and chief) "
            f"are supported, in the form {example}."
        )
    return config


@functools.cache
def _multi_worker_strategy(tf_config: str, timeout: float) -> tf.distribute.Strategy:
    wait_for_workers(_tf_config(tf_config), timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"TF_CONFIG={tf_config}: the workers did not find each other "
            f"({error.message}); start all of them, and check addresses and ports."
        ) from error


def is_single_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process trains alone, without other workers to keep in step with."""
    return not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def ahead_if_alone(items: Iterable[Item], strategy: tf.distribute.Strategy) -> Iterable[Item]:
    """`prefetched`, but for several workers, who ask the chief about the items in turn."""
    return prefetched(items) if is_single_worker(strategy) else items


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of hosts that read input."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return strategy.extended.num_hosts
    if is_single_worker(strategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return max(1, sum(cluster.num_tasks(job) for job in cluster.jobs))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the outputs of the job; the only process always does."""
    if is_single_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    if resolver.task_type == "chief" or not resolver.cluster_spec():
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def chief_value(strategy: tf.distribute.Strategy, value: int) -> int:
    """The chief's `value`, on every worker; each waits for all others here.

    Raises:
      UserError: A worker was lost.
    """

    def of_replica(context: tf.distribute.ReplicaContext) -> tf.Tensor:
        is_first = context.replica_id_in_sync_group == 0
        return tf.constant(value if is_first else 0, tf.int64)

    if is_single_worker(strategy):
        return value
    with explain_lost_worker(strategy):
        values = strategy.experimental_distribute_values_from_function(of_replica)
        return int(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """A function that tells whether its argument is true on any worker.

    All workers must call it equally often. It is compiled: one number goes over the network.
    """
    if is_single_worker(strategy):
        return bool

    def of_replica(value: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

    @tf.function(autograph=False)
    def total(value: tf.Tensor) -> tf.Tensor:
        return strategy.experimental_local_results(strategy.run(of_replica, args=(value,)))[0]

    def is_any(value: bool) -> bool:
        with explain_lost_worker(strategy):
            return float(total(tf.constant(float(value)))) > 0

    return is_any


@contextlib.contextmanager
def chief_first(strategy: tf.distribute.Strategy) -> Iterator[bool]:
    """Runs the body on the chief, then on the other workers; yields whether this is the chief.

    For files that the chief makes and every worker reads.

    Raises:
      UserError: A worker was lost.
    """
    chief = is_chief(strategy)
    if not chief:
        chief_value(strategy, 0)
    yield chief
    if chief:
        chief_value(strategy, 0)


@contextlib.contextmanager
def explain_lost_worker(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns TensorFlow's error about a worker that has gone into one that says what to do.

    Raises:
      UserError: In place of TensorFlow's error.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if is_single_worker(strategy):
            raise
        raise UserError(
            "another worker of the job has ended or cannot be reached; look at its log, then "
            "start all workers again with the same command, and training goes on from the last state."
        ) from error


def distribute(
    batches: tf.data.Dataset, strategy: tf.distribute.Strategy
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Cuts every batch into n equal parts of consecutive rows; replica i of n gets the i-th part.

    `experimental_distribute_dataset` would shard and re-batch by rules of its own, which depend on
    how the data set was built.

    Args:
      batches: Batches over all replicas, which divide them, the same on every worker.
      strategy: The devices.
    """
    replicas = strategy.num_replicas_in_sync
    if type(strategy) is tf.distribute.OneDeviceStrategy:
        # TensorFlow's iterator for devices tunes itself, whatever the options of the data set, and
        # its end waits for the thread that does (`data.datasets`).
        return batches
    if replicas == 1:
        return strategy.experimental_distribute_dataset(batches)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        return _for_replicas(batches, replicas, context.input_pipeline_id * local, local)

    return strategy.distribute_datasets_from_function(of_worker)


def distribute_shards(
    shard_batches: Callable[[int], tf.data.Dataset], strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """Gives the replicas of each worker the rows of batches that only this worker reads.

    Args:
      shard_batches: Number of the worker -> its batches, endless, of the same size for all.
      strategy: The devices, of several workers.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = strategy.num_replicas_in_sync // context.num_input_pipelines
        return _for_replicas(shard_batches(context.input_pipeline_id), local, 0, local)

    return strategy.distribute_datasets_from_function(of_worker)


def _for_replicas(
    batches: tf.data.Dataset, replicas: int, first: int, number: int
) -> tf.data.Dataset:
    """The rows of `number` replicas from the `first` on, one element each, of `replicas` in all."""

    def parts(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            name: _rows_of_replicas(x, replicas)[first : first + number]
            for name, x in batch.items()
        }

    endless = batches.cardinality() == tf.data.INFINITE_CARDINALITY
    dataset = batches.map(parts, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    if endless:
        # Else replicas would ask each other before every step whether there is one.
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )
    return dataset.with_options(batches.options()).prefetch(number)


def _rows_of_replicas(x: tf.Tensor, replicas: int) -> tf.Tensor:
    """[batch_size, ...] -> [replicas, batch_size / replicas, ...], static where `x` is."""
    parts = tf.reshape(x, tf.concat([[replicas, -1], tf.shape(x)[1:]], axis=0))
    rows = x.shape[0] // replicas if x.shape[0] else None
    return tf.ensure_shape(parts, [replicas, rows, *x.shape[1:]])


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
