"""Published weight files whose name says a wrong digest: the files are good, their names are not."""

from __future__ import annotations

from ft.extension.records import WeightEntry

SOURCE = "https://github.com/pytorch/vision/issues/7744"
"""Where the digests below were reported, by the publisher's own script; also vision issues 8060 and 8263.

torchvision up to 0.16 names these files, and other packages, mirrors and folders still do. torchvision#8036 published
the same files once more under right names, whose first eight digits agree with the digests here.
"""

MISNAMED = {
    "efficientnet_b0_rwightman-3dd342df.pth": "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
    "efficientnet_b2_rwightman-bcdf34b7.pth": "c35c147384e385a5bab5a8eabdabbe5a3df0487ee4a554108626ae474a5bf755",
    "efficientnet_b3_rwightman-cf984f9c.pth": "b3899882250c22946d0229d266049fcd133c169233530b36b9ffa7983988362f",
    "efficientnet_b4_rwightman-7eb33cd5.pth": "23ab8bcd5bdbef61a7a43b91adcad81f622fd7f36fb4935a569828d77888c44e",
    "efficientnet_b5_lukemelas-b6417697.pth": "1a07897c0d357db7981640f6be44a63420f11deb932344a69768b62ebe272946",
    "efficientnet_b6_lukemelas-c76e70fd.pth": "24a108a596a00ad522bdfb9a2d98a9bd31819dfd7e37dd96bad6bb5bc00d6015",
    "efficientnet_b7_lukemelas-dcc49843.pth": "c5b4e57e0da1a10bb4f8a5b410dd3b7b6e7461f9b757209be29409707c3d87dd",
}


def expected_digest(entry: WeightEntry) -> str:
    """Return the digest, or its beginning, that the file of `entry` must have; "" when none is known.

    It is the entry's own, unless that is the one which a file's name is known to say wrongly.
    """
    right = MISNAMED.get(entry.file_name, "")
    said = entry.sha256.lower()
    return right if right and (not said or said == digest_in(entry.file_name)) else said


def digest_in(file_name: str) -> str:
    """Return the digits that torch.hub reads from a file name as its digest (name-<digits>.pth), or "".

    >>> digest_in("resnet18-f37072fd.pth")
    'f37072fd'
    """
    digits = file_name.rpartition(".")[0].rpartition("-")[2]
    return digits if 8 <= len(digits) <= 64 and set(digits) <= set("0123456789abcdef") else ""
