"""The weights of equal options are loaded once in a process, whatever runs with them."""

from gems.studies.weight_loads import count_loads


def test_runs_clients_and_threads_with_equal_options_load_the_weights_once(tmp_path):
    counts = count_loads(tmp_path, threads=3)
    assert [(count.loads, len(count.seconds)) for count in counts] == [(1, 3), (1, 2), (1, 3)]
