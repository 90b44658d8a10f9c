# SPDX-License-Identifier: Apache-2.0
"""memory_limits - control groups with a real memory limit, version 2 or 1, whichever this machine allows.

find(reports) gives a Kernel after it has proved itself: a process that takes twice the limit is killed, one that
takes half of it is not. No proof, no Kernel.
"""

import os
import signal
import subprocess
import sys
import time

MIB = 1 << 20
UNLIMITED = 1 << 62


def read(path):
    """The text of a small file; None where it is not there or goes away."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def write(path, value):
    """False where the kernel refuses."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))
        return True
    except OSError:
        return False


def table(path):
    """A file of "name number" lines as a dictionary."""
    pairs = (line.split() for line in (read(path) or "").splitlines())
    return {words[0]: int(words[1]) for words in pairs if len(words) == 2}


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Group:
    """One control group. Sizes in bytes."""

    def __init__(self, path, version):
        self.path = path
        self.version = version

    def file(self, name):
        return os.path.join(self.path, name)

    def child(self, name):
        path = self.file(name)
        os.mkdir(path)
        if self.version == 2:
            write(self.file("cgroup.subtree_control"), "+memory")
        return Group(path, self.version)

    def set_limit(self, size):
        """False where the kernel refuses: version 1 does when it cannot reclaim that much."""
        return write(self.file("memory.max" if self.version == 2 else "memory.limit_in_bytes"), size)

    def set_high(self, size):
        """Throttle above this; only version 2 knows it."""
        return self.version == 2 and write(self.file("memory.high"), size)

    def forbid_swap(self, size):
        """No swap for this group, whose limit is `size`."""
        if self.version == 2:
            return write(self.file("memory.swap.max"), 0)
        return write(self.file("memory.swappiness"), 0) and write(
            self.file("memory.memsw.limit_in_bytes"), size
        )

    def usage(self):
        """All that is charged, page cache included."""
        text = read(self.file("memory.current" if self.version == 2 else "memory.usage_in_bytes"))
        return int(text) if text else 0

    def unreclaimable(self):
        """Anonymous and shared memory of the group, as its statistics have it."""
        stat = table(self.file("memory.stat"))
        if self.version == 2:
            return stat.get("anon", 0) + stat.get("shmem", 0)
        return stat.get("total_rss", 0) + stat.get("total_shmem", 0)

    def needed(self):
        """Usage without the page cache that can go."""
        stat = table(self.file("memory.stat"))
        prefix = "" if self.version == 2 else "total_"
        return self.usage() - sum(
            stat.get(prefix + name, 0) for name in ("inactive_file", "active_file")
        )

    def kills(self):
        if self.version == 2:
            return table(self.file("memory.events")).get("oom_kill", 0)
        return table(self.file("memory.oom_control")).get("oom_kill", 0)

    def join(self):
        """For a child process before it becomes another program."""
        write(self.file("cgroup.procs"), 0)

    def drop_cache(self):
        if self.version == 1:
            write(self.file("memory.force_empty"), 0)
        else:
            write(self.file("memory.reclaim"), self.usage())

    def remove(self):
        """Returns False if someone is still in it after a second."""
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return True
            except FileNotFoundError:
                return True
            except OSError:
                time.sleep(0.01)
        return False


    def clear(self):
        """Ends whoever is in it or below, and removes it all."""
        for name in os.listdir(self.path) if os.path.isdir(self.path) else []:
            if os.path.isdir(self.file(name)):
                Group(self.file(name), self.version).clear()
        for pid in (read(self.file("cgroup.procs")) or "").split():
            if int(pid) != os.getpid():
                end(int(pid))
        self.remove()


def volunteer():
    """If the kernel must kill somebody in a group, it is this process: a death has one meaning then. (To spare
    another one instead would take a privilege that not even every root has.)"""
    write("/proc/self/oom_score_adj", 1000)


TAKE = "import sys\nblock = bytearray(int(sys.argv[1]))\nfor i in range(0, len(block), 4096): block[i] = 1\n"


def is_real(parent):
    """Whether a limit here kills who passes it, and nobody else."""
    endings = []
    for name, size in (("under", 32 * MIB), ("over", 128 * MIB)):
        group = parent.child(f"proof-{name}")
        group.set_limit(64 * MIB)
        group.forbid_swap(64 * MIB)
        words = [sys.executable, "-S", "-c", TAKE, str(size)]
        ending = subprocess.run(
            words, preexec_fn=group.join, stderr=subprocess.DEVNULL, check=False
        ).returncode
        endings.append((ending, group.kills() > 0))
        group.remove()
    return endings == [(0, False), (-9, True)]


def mounts(kind, option):
    """(root, mount point) of the control-group mounts of this kind."""
    for line in (read("/proc/self/mountinfo") or "").splitlines():
        words = line.split()
        rest = words[words.index("-") + 1 :]
        if rest[0] == kind and (not option or option in rest[2].split(",")):
            yield words[3], words[4]


def own_path(controller):
    """Our group in the hierarchy of this controller ("" is version 2)."""
    for line in (read("/proc/self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path
    return "/"


def candidates():
    """Groups under which a group with a limit may be made: our own, then the top."""
    for kind, option, controller, version in (("cgroup2", "", "", 2), ("cgroup", "memory", "memory", 1)):
        for root, point in mounts(kind, option):
            own = own_path(controller)
            inside = own[len(root) :] if root != "/" and own.startswith(root) else own
            for path in dict.fromkeys((os.path.normpath(point + "/" + inside), point)):
                yield Group(path, version)


def opened(group):
    """A version 2 group that gives memory to its children: those in it move down first, if they are all ours."""
    if "memory" in (read(group.file("cgroup.subtree_control")) or "").split():
        return True
    if "memory" not in (read(group.file("cgroup.controllers")) or "").split():
        return False
    if write(group.file("cgroup.subtree_control"), "+memory"):
        return True
    if (read(group.file("cgroup.procs")) or "").split() != [str(os.getpid())]:
        return False
    try:
        os.mkdir(group.file("snug-harness"))
    except OSError:
        return False
    return write(group.file("snug-harness/cgroup.procs"), 0) and write(
        group.file("cgroup.subtree_control"), "+memory"
    )


def remove_leftovers(parent):
    """Groups of a harness that was killed itself."""
    for name in os.listdir(parent.path):
        if name.startswith("snug-oom-") and not os.path.exists("/proc/" + name.rsplit("-", 1)[1]):
            Group(parent.file(name), parent.version).clear()


def find(report):
    """(group to work under, words for it); None where no limit can be made real. `report` takes sentences."""
    for group in candidates():
        if group.version == 2 and not opened(group):
            continue
        remove_leftovers(group)
        try:
            top = group.child(f"snug-oom-{os.getpid()}")
        except OSError as error:
            report(f"{group.path}: {error.strerror}")
            continue
        if is_real(top):
            return top, f"control groups, version {group.version}, under {group.path}"
        report(f"{group.path}: a limit set here does not hold")
        top.remove()
    return None
