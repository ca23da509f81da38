"""File systems that lose power, fill up or fail: ext4 images on loop devices. Needs root and a mount
namespace of its own, which takes the mounts along when it ends."""
import errno
import fcntl
import os
import struct
import time

from network import run

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2  # what the journal had not yet written is lost, as when the power fails
MIB = 1 << 20


class Tmpfs:
    def __init__(self, path, mib):
        self.path = path
        os.makedirs(path)
        run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", path)

    def close(self):
        unmount(self.path)


class Image:
    """An ext4 file system on a sparse file, mounted where a node has its directory."""

    def __init__(self, path, mounted_at, mib, journal=True):
        self.path, self.mounted_at = path, mounted_at
        with open(path, "wb") as file:
            file.truncate(mib * MIB)
        options = [] if journal else ["-O", "^has_journal"]
        run("mkfs.ext4", "-q", "-F", "-m", "0", *options, path)
        os.makedirs(mounted_at, exist_ok=True)
        self.mount()

    def mount(self):
        run("mount", "-o", "loop", self.path, self.mounted_at)

    def power_off(self):
        """From this moment on nothing more reaches the image; every write and sync fails."""
        directory = os.open(self.mounted_at, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def power_on(self):
        """After its processes were killed: what the caches held is forgotten, the journal is replayed."""
        unmount(self.mounted_at)
        self.mount()

    def close(self):
        if os.path.ismount(self.mounted_at):
            unmount(self.mounted_at)


def unmount(path):
    deadline = time.monotonic() + 10
    while True:
        try:
            return run("umount", path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def fill(directory):
    """Leaves no free block. Returns the path of the file that takes the room."""
    path = os.path.join(directory, "ballast")
    with open(path, "ab", buffering=0) as file:
        for size in (4 * MIB, 4096):
            try:
                while True:
                    file.write(b"\xa5" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        try:
            os.fsync(file.fileno())
        except OSError:
            pass  # it may be the one that finds out
    return path


def cannot_mount():
    """Why there can be no file systems of our own, or None."""
    probe = f"/tmp/confman-probe-{os.getpid()}"
    try:
        os.makedirs(probe)
        image = Image(probe + ".img", probe, 16)
        try:
            image.power_off()
        finally:
            image.close()
    except OSError as error:
        return f"no ext4 on a loop device that can be shut down: {error}"
    finally:
        if os.path.exists(probe + ".img"):
            os.unlink(probe + ".img")
        if os.path.isdir(probe):
            os.rmdir(probe)
    return None
