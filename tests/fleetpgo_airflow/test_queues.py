"""Whether a worker listens to the queue of the builds: what preflight says."""

from __future__ import annotations

import pytest

from fleetpgo_airflow import queues
from tests.services import load


@pytest.fixture
def service(tmp_path, monkeypatch):
    loaded = load(tmp_path, monkeypatch)
    return loaded.model_copy(update={"build": loaded.build.model_copy(update={"queue": "builds"})})


@pytest.fixture
def celery(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")


def said(service):
    return [(check.outcome, check.said) for check in queues.check_queue(service)]


def answer(monkeypatch, **workers):
    monkeypatch.setattr(queues, "_active_queues", lambda: workers)


def test_a_queue_that_a_worker_listens_to_is_well(service, celery, monkeypatch):
    answer(monkeypatch, one={"default"}, two={"builds", "default"})
    assert said(service) == [("ok", "1 of 2 workers listen to 'builds'")]


def test_a_queue_that_no_worker_listens_to_is_a_failure_that_may_pass(service, celery, monkeypatch):
    answer(monkeypatch, one={"default"})
    (check,) = queues.check_queue(service)
    assert (check.outcome, check.passing) == ("failure", True)
    assert check.said == "no worker listens to 'builds', so no build would ever begin"


def test_a_service_without_a_queue_asks_nobody(service, celery):
    default = service.model_copy(update={"build": service.build.model_copy(update={"queue": None})})
    assert said(default) == []


def test_a_broker_that_does_not_answer_is_a_warning(service, celery, monkeypatch):
    def refuse():
        raise ConnectionError("refused")

    monkeypatch.setattr(queues, "_active_queues", refuse)
    assert said(service) == [("warning", "the workers cannot be asked: ConnectionError")]


def test_an_executor_without_queues_says_that_the_key_has_no_effect(service, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    assert said(service) == [("warning", "the executor knows no queues: 'builds' has no effect")]


@pytest.mark.parametrize("executor", ["KubernetesExecutor", "CeleryExecutor,KubernetesExecutor"])
def test_pods_for_single_tasks_are_refused(executor, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    (check,) = queues.check_executor()
    assert (check.outcome, executor in check.said) == ("failure", True)


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor"])
def test_workers_that_last_are_supported(executor, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert list(queues.check_executor()) == []
