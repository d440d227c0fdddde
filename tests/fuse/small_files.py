"""A tree like a source package's: 5,155 small files, the same each time for the same seed."""
import os
import random

FILES = 5155
DIRECTORIES = 420


def make(root, files=FILES, directories=DIRECTORIES, seed=1):
    """Makes the tree at `root`; returns its directories, the shallow before the deep."""
    chance = random.Random(seed)
    places = [root]
    os.mkdir(root)
    for number in range(directories):
        parent = chance.choice(places[-60:])
        if parent.count("/") - root.count("/") > 8:
            parent = root
        places.append(f"{parent}/dir{number}")
        os.mkdir(places[-1])
    block = chance.randbytes(1 << 17)
    for number in range(files):
        size = min(int(chance.lognormvariate(7.5, 1.3)), 1 << 16)
        start = chance.randrange(1 << 16)
        with open(f"{chance.choice(places)}/file{number}.c", "wb") as file:
            file.write(block[start:start + size])
            if number % 50 == 0:
                os.fchmod(file.fileno(), 0o755)
    for number in range(files // 50):
        os.symlink(f"../file{number}.c", f"{chance.choice(places)}/link{number}")
    return places
