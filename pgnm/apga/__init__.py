"""APGA: a segmentation network, paid by the classifier's loss, learns to mark what matters, with no mask labels.

After "Adversarial Policy Gradient for Deep Learning Image Augmentation", Cheng, Iriondo et al., MICCAI 2019, arXiv
1909.04108; called "the paper" in this package.

    agent      the mask network and the two images that a mask makes
    update     reward, losses and the schedule of one batch
    masks      masks that are not learned: Cutout, Grad-CAM, Otsu; the warm start
    inference  plain and aided prediction, and overlays to look at
"""

from pgnm.apga.agent import MaskAgent as MaskAgent
from pgnm.apga.agent import keep as keep
from pgnm.apga.update import ApgaBaseline as ApgaBaseline
from pgnm.apga.update import ApgaOptions as ApgaOptions
from pgnm.apga.update import agent_loss as agent_loss
from pgnm.apga.update import apga_step as apga_step
from pgnm.apga.update import masked_step as masked_step
