# SPDX-License-Identifier: GPL-3.0-or-later
"""Votes of Gaussians on surfaces: points spread evenly, the nearest decide, distance is bounded by spacing, pieces are pieces."""

import numpy as np
import pytest
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.voting import (
    BUDGET,
    NEAREST,
    SAMPLES,
    Ballots,
    Samples,
    Surface,
    Voters,
    Votes,
    pieces,
    sample_counts,
    spacings,
    spread,
    typical_spacing,
)


def square(side=1.0, z=0.0):
    """Two triangles of one face, facing up."""
    a, b, c, d = (np.float32([x * side, y * side, z]) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    return Surface(np.stack([[a, b, c], [a, c, d]]), np.zeros(2, np.int64), 1)


def plane(label, spacing=0.1, size=0.05, thin=0.005, count=20, normal="z", **changes):
    """count x count flat Gaussians in the plane z = 0 (or x = 0); label: of (x, y)."""
    line = (np.arange(count) + 0.5) * spacing
    x, y = (axis.ravel() for axis in np.meshgrid(line, line))
    means = np.stack([x, y, 0 * x] if normal == "z" else [0 * x, x, y], axis=1)
    scales = np.full((len(x), 3), size)
    scales[:, 2 if normal == "z" else 0] = thin
    arrays = {
        "means": means,
        "quats": np.tile([1.0, 0, 0, 0], (len(x), 1)),
        "scales": scales,
        "opacities": np.ones(len(x)),
        "sh": np.zeros((len(x), 1, 3)),
    } | changes
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    return GaussianArrays(**arrays, label=np.array([label(*p[:2]) for p in means], np.int32))


def joined(*parts):
    names = ("means", "quats", "scales", "opacities", "sh", "label")
    return GaussianArrays(**{name: np.concatenate([getattr(g, name) for g in parts]) for name in names})


def at(points, normal=(0, 0, 1)):
    points = np.float32(points)
    return Samples(points, np.tile(np.float32(normal), (len(points), 1)), np.arange(len(points)), np.ones(len(points)))


def nearest(g, samples, k=NEAREST):
    distance = np.linalg.norm(g.means[None] - samples.points[:, None], axis=2)
    return np.argsort(distance, axis=1)[:, :k]


def voters(g):
    return Voters.of(g, typical(g))


def typical(g):
    return typical_spacing(g, np.arange(len(g)), nearest(g, at(g.means)))


def said(g, samples, values=None):
    """What the points are said to be [S], -1 for nothing, and how surely."""
    ballots = voters(g).weigh(samples, nearest(g, samples))
    return ballots.votes(g.label if values is None else values).winners(len(samples.face))


def test_points_are_even_and_inside_and_stand_for_the_whole_area():
    surface = Surface(
        np.float32([[[0, 0, 0], [3, 0, 0], [0, 2, 0]], [[3, 0, 0], [3, 2, 0], [0, 2, 0]], [[0, 0, 1], [1, 0, 1], [0, 1, 1]]]),
        np.array([0, 0, 2]),
        4,
    )
    samples = spread(surface, np.array([600, 9, 5, 1]))
    assert np.bincount(samples.face, minlength=4).tolist() == [600, 0, 5, 0]  # faces without a triangle get no point
    np.testing.assert_allclose(np.bincount(samples.face, samples.area), [6, 0, 0.5])
    first = samples.points[samples.face == 0]
    assert (first >= 0).all() and (first <= [3, 2, 0]).all()
    cells = np.histogram2d(first[:, 0], first[:, 1], bins=(3, 2), range=((0, 3), (0, 2)))[0]
    assert cells.min() >= 85 and cells.max() <= 115  # a hundred each
    last = samples.points[samples.face == 2]
    assert (last[:, :2].sum(axis=1) <= 1).all() and (last[:, 2] == 1).all()
    assert (samples.normals == [0, 0, 1]).all()
    assert np.array_equal(spread(surface, np.array([600, 9, 5, 1])).points, samples.points)


def test_one_point_lies_in_the_middle():
    triangle = Surface(np.float32([[[0, 0, 0], [3, 0, 0], [0, 3, 0]]]), np.zeros(1, np.int64), 1)
    np.testing.assert_allclose(spread(triangle, np.array([1])).points, [[1, 1, 0]], atol=0.1)


def test_faces_without_area_have_a_point_all_the_same():
    flat = Surface(np.zeros((2, 3, 3), np.float32), np.array([0, 1]), 2)
    samples = spread(flat, np.array([1, 3]))
    assert samples.face.tolist() == [0, 1, 1, 1] and (samples.normals == 0).all() and (samples.area > 0).all()
    nothing = spread(Surface(np.zeros((0, 3, 3), np.float32), np.zeros(0, int), 3), np.array([1, 1, 1]))
    assert len(nothing.face) == 0


def test_large_faces_get_more_points_within_a_budget():
    assert sample_counts(square(), 10.0).tolist() == [1]
    assert 20 <= sample_counts(square(), 0.1)[0] <= 26  # a point for every four Gaussians: 25
    assert sample_counts(square(), 1e-6).tolist() == [SAMPLES]
    many = Surface(np.repeat(square().corners[:1], 20_000, axis=0), np.arange(20_000), 20_000)
    counts = sample_counts(many, 1e-6)
    assert counts.min() >= 1 and counts.sum() <= BUDGET + 20_000


def test_triangles_in_any_order():
    surface = Surface.sorted(np.arange(27, dtype=np.float32).reshape(3, 3, 3), np.array([2, -1, 0]), 3)
    assert surface.face.tolist() == [0, 2] and surface.corners[:, 0, 0].tolist() == [18, 0]
    assert surface.as_one().faces == 1 and not surface.as_one().face.any()


@pytest.mark.parametrize("quat", [(1, 0, 0, 0), (0.5, 0.5, 0.5, 0.5), (0.6, 0, 0.8, 0)])
@pytest.mark.parametrize("axis", range(3))
def test_the_normal_is_the_thin_axis_turned(quat, axis):
    w, x, y, z = quat
    columns = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    scales = np.float32([[0.2, 0.2, 0.2]])
    scales[0, axis] = 0.02
    one = np.ones(1, np.float32)
    g = GaussianArrays(np.zeros((1, 3), np.float32), np.float32([quat]), scales, one, np.zeros((1, 1, 3), np.float32))
    np.testing.assert_allclose(voters(g).normal[0], columns[:, axis], atol=1e-6)
    np.testing.assert_allclose([voters(g).width[0], voters(g).flat[0]], [0.2, 0.9], rtol=1e-6)


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_spacing_of_uneven_gaussians(scale):
    draw = np.random.default_rng(0)
    patches = [draw.uniform(0, 60, (int((60 / apart) ** 2), 3)) * [1, 1, 0] for apart in (0.1, 1.0, 3.0)]
    means = np.concatenate([*(patch + np.array([100 * k, 0, 0]) for k, patch in enumerate(patches)), np.full((1, 3), 500)])
    found = spacings(np.float32(means * scale), scale) / scale
    for k, wanted in enumerate((0.1, 1.0, 3.0)):
        assert np.median(found[means[:, 0] // 100 == k]) == pytest.approx(wanted, rel=0.2)
    assert found[-1] == 0 and spacings(np.zeros((1, 3), np.float32), 1.0).tolist() == [0]


def test_typical_spacing():
    assert typical(plane(lambda x, y: 0)) == pytest.approx(0.1, rel=0.25)
    assert typical(plane(lambda x, y: 0, size=0.3)) == pytest.approx(0.3)  # large ones that overlap
    assert typical(plane(lambda x, y: 0).select(np.array([0]))) == pytest.approx(0.05)  # one alone


def test_a_gap_is_not_named_by_what_lies_around_it():
    """In the middle of a hole all that is near is far, and far from each other too."""
    g = plane(lambda x, y: 0)
    hole = np.linalg.norm(g.means - [1, 1, 0], axis=1) > 0.6
    assert said(g.select(hole), at([[1, 1, 0], [1, 1.55, 0]]))[0].tolist() == [-1, 0]


def test_each_place_is_what_lies_there():
    g = plane(lambda x, y: int(x > 1))
    rng = np.random.default_rng(0)
    places = np.c_[rng.uniform(0, 2, (500, 2)), rng.uniform(-0.05, 0.05, 500)]
    label, share = said(g, at(places))
    clear = np.abs(places[:, 0] - 1) > 0.06
    assert np.array_equal(label[clear], (places[clear, 0] > 1).astype(int))
    assert (share > 0.5 - 1e-6).all() and share[np.abs(places[:, 0] - 1) > 0.3].min() > 0.999


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_nothing_votes_farther_than_the_spacing_allows_in_any_unit(scale):
    g = plane(lambda x, y: 0, spacing=0.1 * scale, size=0.05 * scale, thin=0.005 * scale)
    heights = np.array([0.0, 0.15, 0.5, 10]) * scale
    label, _ = said(g, at([[scale, scale, h] for h in heights]))
    assert label.tolist() == [0, 0, -1, -1]


def test_sparse_places_reach_farther_than_dense_ones_but_lone_floaters_do_not():
    dense, sparse = plane(lambda x, y: 0, spacing=0.02, size=0.01), plane(lambda x, y: 1, spacing=0.06, size=0.03)
    sparse = GaussianArrays(
        sparse.means + np.float32([5, 0, 0]), *[getattr(sparse, n) for n in ("quats", "scales", "opacities", "sh", "label")]
    )
    floaters = plane(lambda x, y: 2, spacing=3.0, size=0.01, count=3)
    floaters = GaussianArrays(
        floaters.means + np.float32([20, 0, 0]),
        *[getattr(floaters, n) for n in ("quats", "scales", "opacities", "sh", "label")],
    )
    g = joined(dense, sparse, floaters)
    places = at([[0.2, 0.2, 0.12], [5.6, 0.6, 0.12], [21.5, 1.5, 1.0]])
    assert said(g, places)[0].tolist() == [-1, 1, -1]


def test_discs_across_the_surface_hardly_count():
    """At the foot of a wall the floor's Gaussians are as near as the wall's own."""
    g = joined(plane(lambda x, y: 0), plane(lambda x, y: 1, normal="x"))
    foot, edge = at([[0, 1, 0.04]], normal=(1, 0, 0)), at([[0.04, 1, 0]], normal=(0, 0, 1))
    for samples, own in ((foot, 1), (edge, 0)):
        label, share = said(g, samples)
        assert label[0] == own and share[0] > 0.9


def test_trust_decides_between_equally_near():
    g = plane(lambda x, y: 0)
    both = joined(g, GaussianArrays(g.means, g.quats, g.scales, g.opacities * np.float32(0.2), g.sh, g.label + 1))
    label, share = said(both, at([[1, 1, 0.01]]))
    assert label[0] == 0 and share[0] == pytest.approx(1 / 1.2, rel=0.05)
    unseen = GaussianArrays(g.means, g.quats, g.scales, g.opacities * 0, g.sh, g.label)
    assert said(unseen, at([[1, 1, 0.01]]))[0].tolist() == [-1]
    unsure = GaussianArrays(g.means, g.quats, g.scales, g.opacities, g.sh, g.label, confidence=np.zeros(len(g), np.float32))
    assert said(unsure, at([[1, 1, 0.01]]))[0].tolist() == [0]  # a guess is better than nothing


def test_every_point_has_as_much_weight_as_it_stands_for():
    g, samples = plane(lambda x, y: int(x > 1)), spread(square(2.0), np.array([200]))
    ballots = voters(g).weigh(samples, nearest(g, samples))
    np.testing.assert_allclose(ballots.weight.sum(axis=1), samples.area, rtol=1e-5)
    votes = ballots.votes(g.label)
    np.testing.assert_allclose(votes.weight, [2, 2], rtol=0.05)


def test_votes_are_added_up():
    votes = Votes.counted(np.array([3, 0, 3, 3, 0]), np.array([1, 2, 5, 1, 2]), np.array([1.0, 2, 1.5, 1, 0]))
    assert (votes.who.tolist(), votes.what.tolist(), votes.weight.tolist()) == ([0, 3, 3], [2, 1, 5], [2, 2, 1.5])
    value, share = votes.winners(5)
    assert value.tolist() == [2, -1, -1, 1, -1]
    np.testing.assert_allclose(share, [1, 0, 0, 2 / 3.5, 0])
    tie = Votes.counted(np.zeros(2, int), np.array([7, 4]), np.ones(2))
    assert tie.winners(1)[0].tolist() == [4]
    nothing = Votes.counted(np.zeros(1, int), np.zeros(1, int), np.zeros(1))
    assert nothing.winners(2)[0].tolist() == [-1, -1]


def test_winners_are_those_of_a_plain_table():
    rng = np.random.default_rng(1)
    who, what, weight = rng.integers(0, 50, 3000), rng.integers(0, 9, 3000), rng.uniform(0, 1, 3000)
    table = np.zeros((50, 9))
    np.add.at(table, (who, what), weight)
    value, share = Votes.counted(who, what, weight).winners(50)
    assert np.array_equal(value, table.argmax(axis=1))
    np.testing.assert_allclose(share, table.max(axis=1) / table.sum(axis=1))


def test_only_some_may_vote():
    ballots = Ballots(np.array([0, 1]), np.array([[0, 1], [1, 2]]), np.float32([[1, 2], [1, 3]]))
    values = np.array([4, 5, 6])
    assert ballots.votes(values).winners(2)[0].tolist() == [5, 6]
    assert ballots.votes(values, np.array([[True, False], [True, False]])).winners(2)[0].tolist() == [4, 5]
    assert len(Ballots.joined([]).face) == 0 and len(Ballots.joined([ballots, Ballots.joined([]), ballots]).face) == 4


def test_pieces():
    """A strip of quads, a triangle that touches it by a vertex, and a loose triangle, in a mixed order."""
    faces = [(7, 8, 9), (2, 3, 5, 4), (0, 1, 3, 2), (4, 10, 11)]
    vertex, starts = np.concatenate(faces), np.cumsum([0, *map(len, faces)])[:-1]
    assert pieces(vertex, starts, 12).tolist() == [7, 0, 0, 0]
    assert len(pieces(np.zeros(0, int), np.zeros(0, int), 3)) == 0


def test_pieces_of_many_strips():
    rng = np.random.default_rng(2)
    edges = [(40 * s + i, 40 * s + i + 1) for s in range(30) for i in range(39)]
    names = rng.permutation(1200)
    vertex = names[np.array(edges)[rng.permutation(len(edges))]]
    found = pieces(vertex.ravel(), np.arange(0, vertex.size, 2), 1200)
    strip = np.argsort(names)[vertex[:, 0]] // 40
    lowest = np.array([names[40 * s : 40 * s + 40].min() for s in range(30)])
    assert np.array_equal(found, lowest[strip])
