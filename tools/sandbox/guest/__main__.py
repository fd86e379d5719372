# SPDX-License-Identifier: Apache-2.0
"""``python3 -m tools.sandbox.guest``: build the guest for the API's users."""
from tools.sandbox.guest import image


def main() -> None:
    for disk in image.ALL_UNATTENDED:
        print(image.build(disk))


if __name__ == '__main__':
    main()
