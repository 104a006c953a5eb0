"""Find what a model gets most wrong: single images, and pairs of classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that was taken for another class, with the probabilities of both."""

    path: str
    target: str
    prediction: str
    p_target: float
    p_prediction: float


def worst_mistakes(table: pd.DataFrame, probability: np.ndarray, class_names: tuple[str, ...], n: int) -> list[Mistake]:
    """Return the wrong predictions in which the model was surest against the truth.

    Args:
        table: Path, target and prediction of each image.
        probability: (N, C), of each class.
        class_names: Label of each class index.
        n: How many at most.

    Returns:
        Mistakes by the probability of the prediction less that of the target, largest first.
    """
    rows = np.arange(len(table))
    target, prediction = table["target"].to_numpy(), table["prediction"].to_numpy()
    p_target, p_prediction = probability[rows, target], probability[rows, prediction]
    margin = np.where(target == prediction, -1.0, p_prediction - p_target)
    order = np.argsort(-margin, kind="stable")[: min(n, int((target != prediction).sum()))]
    return [
        Mistake(
            str(table["path"].iloc[row]),
            class_names[target[row]],
            class_names[prediction[row]],
            float(p_target[row]),
            float(p_prediction[row]),
        )
        for row in order
    ]


def top_confusions(confusion: np.ndarray, class_names: tuple[str, ...], n: int) -> pd.DataFrame:
    """Return the pairs of classes that are confused most.

    Args:
        confusion: Images by target (row) and prediction (column), (C, C).
        class_names: Label of each class index.
        n: How many at most.

    Returns:
        target, prediction, images, and share of the target's images; most images first.
    """
    wrong = confusion * (1 - np.eye(len(class_names), dtype=confusion.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:n]
    totals = confusion.sum(axis=1)
    rows = [
        (class_names[row], class_names[column], int(wrong[row, column]), float(wrong[row, column] / totals[row]))
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[row, column] > 0
    ]
    return pd.DataFrame(rows, columns=["target", "prediction", "images", "share"])
