"""The kinds of model: how each is trained, and how it explains a score.

logistic  logistic regression on quantile bins; contributions to the log-odds, exact
svm       a linear support vector machine on the same bins, its margin turned into log-odds by Platt's method; exact too
tree      one decision tree of at most 16 leaves; how far each split on the row's path moved the share
boosting  a few hundred small trees on the gradient of the log-odds; the same path method, summed over the trees
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from models.forest import LEAF, Forest, Tree, averaged, rounded_down, tree_of
from models.forest_graph import graph as forest_graph
from models.tabular.encode import Encoding, Floats
from models.tabular.scorecard import Scorecard, cut, scorecard

Labels = NDArray[np.bool_]
PENALTY = 0.1  # scikit-learn's C: the smaller, the stronger weights are drawn to 0
PENALTIES = (PENALTY, 1.0, 10.0)  # what tells much is not to be shrunk to little, or its scores are too timid
MANY = 5_000  # rows from which boosting works on histograms, and a penalty is chosen on some of them
FOLDS = 5
SOLVER = "newton-cholesky"  # a few steps, where others take thousands on what is nearly separable
LEAVES = 16
TREES = 300  # below MANY rows, at RATE: more learn noise where little can be told, fewer are timid where much can
RATE = 0.01


class Model(Protocol):
    """What training gives."""

    def score(self, rows: Floats) -> NDArray[np.float64]:
        """[rows] 0 to 1."""

    def contributions(self, rows: Floats) -> NDArray[np.float64]:
        """[rows, columns]: what each column adds to the model's base."""


def graph(model: Model, name: str) -> onnx.GraphProto:
    """The model as an ONNX graph. Raises TypeError for a model of another kind."""
    if isinstance(model, Scorecard):
        return model.graph(name)
    if isinstance(model, Forest):
        return forest_graph(model, name)
    raise TypeError(f"{type(model).__name__}: has no graph")


def _logistic(rows: Floats, labels: Labels, encoding: Encoding, seed: int) -> Model:
    from sklearn.linear_model import LogisticRegression

    bins = cut(rows, encoding)
    flags = bins(rows)
    trainer = LogisticRegression(C=_penalty(flags, labels, seed), solver=SOLVER, max_iter=5_000)
    fitted = trainer.fit(flags, labels)
    return scorecard(bins, rows, fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0]))


def _penalty(flags: Floats, labels: Labels, seed: int) -> float:
    """The one of PENALTIES that foretells left-out rows best, by the logarithm of what it gave what came."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    some = np.random.default_rng(seed).permutation(len(labels))[:MANY]
    if min(labels[some].sum(), (~labels[some]).sum()) < FOLDS:
        return PENALTY
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)

    def told(penalty: float) -> float:
        trainer = LogisticRegression(C=penalty, solver=SOLVER, max_iter=5_000)
        return float(cross_val_score(trainer, flags[some], labels[some], cv=folds, scoring="neg_log_loss").mean())

    return max(PENALTIES, key=told)


def _svm(rows: Floats, labels: Labels, encoding: Encoding, seed: int) -> Model:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.svm import LinearSVC

    bins = cut(rows, encoding)
    flags = bins(rows)
    trainer = LinearSVC(C=PENALTY / 10, dual=False, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    margins = cross_val_predict(
        trainer, flags, labels, cv=folds, method="decision_function"
    )  # Platt 1999: not on rows it learned
    platt = LogisticRegression(C=1e6).fit(margins[:, None], labels)
    slope, shift = (
        max(0.0, float(platt.coef_[0, 0])),
        float(platt.intercept_[0]),
    )  # a margin that tells nothing is not turned round
    fitted = trainer.fit(flags, labels)
    return scorecard(bins, rows, slope * fitted.coef_[0].astype(np.float64), slope * float(fitted.intercept_[0]) + shift)


def _tree(rows: Floats, labels: Labels, encoding: Encoding, seed: int) -> Model:
    from sklearn.tree import DecisionTreeClassifier

    trainer = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=max(5, len(rows) // 100), random_state=seed)
    fitted = trainer.fit(rows, labels).tree_
    values = fitted.value[:, 0, :]
    return Forest(encoding.names, (), (tree_of(fitted, values[:, 1] / values.sum(axis=1)),))


def _boosting(rows: Floats, labels: Labels, encoding: Encoding, seed: int) -> Model:
    trees, offset = (_by_histograms if len(rows) >= MANY else _by_samples)(rows, labels, seed)
    return Forest(encoding.names, (), trees, offset, logistic=True)


def _by_samples(rows: Floats, labels: Labels, seed: int) -> tuple[tuple[Tree, ...], float]:
    """Each tree sees half of the rows, each split a fifth of the columns (Friedman 2002): what suits few rows.

    Leaves are grown where they tell most, not all to one depth, so what hangs on several columns together is found.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    known = ~np.isnan(rows)
    below = np.where(known, rows, np.float32(np.inf)).min(axis=0)
    lowest = np.where(np.isfinite(below), below, 0.0) - 1.0  # the trainer takes no NaN: missing is below all, so it goes left
    filled = np.where(known, rows, np.minimum(lowest, np.nextafter(below, np.float32(-np.inf)))).astype(np.float32)
    trainer = GradientBoostingClassifier(
        n_estimators=TREES,
        learning_rate=RATE,
        max_depth=None,
        max_leaf_nodes=LEAVES,
        subsample=0.5,
        max_features=0.2,
        min_samples_leaf=5,
        random_state=seed,
    ).fit(filled, labels)
    share = float(labels.mean())
    trees = []
    for estimator in trainer.estimators_[:, 0]:
        grown = estimator.tree_
        leaves = trainer.learning_rate * grown.value[:, 0, 0]
        tree = tree_of(grown, averaged(leaves, grown.children_left, grown.children_right, grown.weighted_n_node_samples))
        trees.append(Tree(tree.column, tree.threshold, tree.left, tree.right, np.ones(len(leaves), bool), tree.value))
    return tuple(trees), float(np.log(share / (1.0 - share)))


def _by_histograms(rows: Floats, labels: Labels, seed: int) -> tuple[tuple[Tree, ...], float]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    trainer = HistGradientBoostingClassifier(
        max_iter=140,
        learning_rate=0.055,
        max_leaf_nodes=12,
        max_features=0.3,
        min_samples_leaf=40,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1, "openmp"):  # its threads wait by spinning, which on a busy machine takes minutes
        trainer.fit(rows.astype(np.float64), labels)
    grown = [predictors[0].nodes for predictors in trainer._predictors]  # noqa: SLF001  no public door to the trees
    return tuple(_histogram_tree(nodes) for nodes in grown), float(np.ravel(trainer._baseline_prediction)[0])  # noqa: SLF001


def _histogram_tree(nodes: Any) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, LEAF, nodes["left"].astype(np.int64))
    right = np.where(leaf, LEAF, nodes["right"].astype(np.int64))
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        rounded_down(np.where(leaf, 0.0, np.minimum(nodes["num_threshold"], np.finfo(np.float32).max))),
        left,
        right,
        nodes["missing_go_to_left"].astype(bool),
        averaged(nodes["value"], left, right, nodes["count"]),
    )


KINDS: Mapping[str, Callable[[Floats, Labels, Encoding, int], Model]] = {
    "logistic": _logistic,
    "svm": _svm,
    "tree": _tree,
    "boosting": _boosting,
}
EXPLANATIONS: Mapping[str, str] = {
    "logistic": "contributions to the log-odds, exact: the weight of the column's bin less its mean over the training rows",
    "svm": "contributions to the calibrated margin, exact: the weight of the column's bin less its mean over the training rows",
    "tree": "how far the splits on a column along the row's path moved the share of positives; the parts sum to the score",
    "boosting": "how far the splits on a column along the row's paths moved the log-odds, summed over the trees (Saabas 2014)",
}
