"""The whole loop with its chat model behind HTTP is the loop in process."""

from langchain_openai import ChatOpenAI

from gems import run

REQUEST = "three red stars to the left of two blue squares"


def summary(result):
    attempts = [(a.prompt, a.seed, [(v.check, v.passed, v.answer) for v in a.verdicts], a.image.sha256) for a in result.attempts]
    return result.checks, attempts, [e.text for e in result.state.experiences], result.state.skills, result.decision


def test_a_run_over_http_is_the_run_in_process(site, make_sketcher, tmp_path):
    remote = ChatOpenAI(base_url=site.url, model="shapes-chat", api_key="none", max_retries=0)
    settings = {"seed": 3, "preset": "default"}
    here = run(REQUEST, chat="shapes", image=make_sketcher(mistakes=0.4), runs=tmp_path / "here", **settings)
    there = run(REQUEST, chat=remote, image=make_sketcher(mistakes=0.4), runs=tmp_path / "there", **settings)
    assert len(here.attempts) > 1  # there was something to learn from
    assert summary(there) == summary(here)
    assert there.usage.roles["verifier"].calls == here.usage.roles["verifier"].calls
