"""Attention-based MIL, by torchmil's model."""

from torch import Tensor, nn
from torchmil.models import ABMIL

from models.mil.model import MilModel, MilOutput, masked_softmax
from models.mil.settings import ModelSettings


class Abmil(MilModel):
    """Attention pooling z = sum_i a_i h_i with a = softmax(w tanh(V h)), gated or not.

    Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    arXiv 1802.04712, equations (7) to (9). The network is `torchmil.models.ABMIL`, which computes
    exactly this for two classes by one logit; its last layer is replaced by one of C logits.

    Differs from the paper: instances are embeddings, which one layer with ReLU and dropout takes
    to H values; w has no bias, which the softmax would cancel.
    """

    def __init__(self, dim: int, classes: int, settings: ModelSettings) -> None:
        super().__init__(dim, classes, settings)
        hidden = settings.hidden_dim
        first = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(settings.dropout))
        self.net = ABMIL(
            in_shape=(dim,),
            att_dim=settings.attention_dim,
            gated=settings.gated,
            feat_ext=first,
        )
        self.net.classifier = nn.Linear(hidden, classes)

    def forward(self, bags: Tensor, mask: Tensor | None = None) -> MilOutput:
        """See `MilModel.forward`."""
        logits, scores = self.net(bags, mask, return_att=True)
        return MilOutput(logits, masked_softmax(scores[:, None, :], mask))
