"""Running jobs: workers, who may run next, and handlers in threads and in worker processes."""

from __future__ import annotations

from walnats_anyio._actors.run._auto_limit import AutoLimit, AutoStatistics, Phase
from walnats_anyio._actors.run._batch_jobs import BatchJobs
from walnats_anyio._actors.run._batch_workers import BatchWorkers
from walnats_anyio._actors.run._executors import Executors
from walnats_anyio._actors.run._failure import HandlerError, WorkerProcessError
from walnats_anyio._actors.run._job import Jobs
from walnats_anyio._actors.run._pace import Pace
from walnats_anyio._actors.run._scheduler import Scheduler
from walnats_anyio._actors.run._worker import Worker
from walnats_anyio._actors.run._worker_tasks import worker_tasks
from walnats_anyio._actors.run._workers import Workers

__all__ = [
    "AutoLimit",
    "AutoStatistics",
    "BatchJobs",
    "BatchWorkers",
    "Executors",
    "HandlerError",
    "Jobs",
    "Pace",
    "Phase",
    "Scheduler",
    "Worker",
    "WorkerProcessError",
    "Workers",
    "worker_tasks",
]
