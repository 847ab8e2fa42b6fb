import numpy as np

from evaluation.neighbours import neighbour_votes


def test_votes_equal_the_definition():
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(50, 6)), generator.normal(size=(9, 6))
    labels = generator.integers(0, 3, 50)
    votes = neighbour_votes(train, labels, 3, test, k=7, temperature=0.2)
    for row, query in enumerate(test):
        cosine = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-cosine)[:7]
        plain = [np.exp((cosine[nearest[labels[nearest] == c]] - 1) / 0.2).sum() for c in range(3)]
        np.testing.assert_allclose(votes[row], plain, rtol=1e-10)


def test_k_larger_than_the_training_set():
    votes = neighbour_votes(np.eye(3), np.array([0, 1, 1]), 2, np.eye(3), k=20)
    assert votes.argmax(axis=1).tolist() == [0, 1, 1]


def test_queries_do_not_depend_on_each_other():
    generator = np.random.default_rng(0)
    train, labels = generator.normal(size=(40, 5)), generator.integers(0, 4, 40)
    test = generator.normal(size=(1100, 5))
    votes = neighbour_votes(train, labels, 4, test)
    np.testing.assert_allclose(
        votes[[0, 1023, 1024, 1099]], neighbour_votes(train, labels, 4, test[[0, 1023, 1024, 1099]])
    )


def test_length_of_a_feature_does_not_count():
    generator = np.random.default_rng(0)
    train, labels = generator.normal(size=(40, 5)), generator.integers(0, 4, 40)
    test = generator.normal(size=(6, 5))
    lengths = generator.uniform(0.1, 10, (40, 1))
    np.testing.assert_allclose(
        neighbour_votes(train * lengths, labels, 4, test * 3), neighbour_votes(train, labels, 4, test)
    )
