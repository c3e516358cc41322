"""A certificate authority of the laboratory's own, for channels over TLS."""

import os
import pwd

from .shell import run

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Makes certificates when they are first asked for; `name` is what its files begin with."""

    def __init__(self, directory, name="channels"):
        self.directory = directory
        self.name = name

    def _path(self, name):
        return os.path.join(self.directory, f"{self.name}-{name}")

    @property
    def file(self):
        """The CA's own certificate."""
        path = self._path("ca.pem")
        if not os.path.exists(path):
            run("openssl", "req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={self.name}", "-keyout", self._path("ca.key"),
                "-out", path)
        return path

    def certificate(self, host):
        """Of HOST.baton.example."""
        path, authority = self._path(f"{host}.pem"), self.file
        if not os.path.exists(path):
            run("openssl", "req", *CURVE, "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}.baton.example",
                "-keyout", self._path(f"{host}.key"), "-out", self._path(f"{host}.csr"))
            run("openssl", "x509", "-req", "-in", self._path(f"{host}.csr"), "-CA", authority, "-CAkey",
                self._path("ca.key"), "-copy_extensions", "copy", "-days", "2", "-out", path)
            # Agents read it again when they have become nobody.
            os.chown(self._path(f"{host}.key"), 0, pwd.getpwnam("nobody").pw_gid)
            os.chmod(self._path(f"{host}.key"), 0o640)
        return path

    def key(self, host):
        self.certificate(host)
        return self._path(f"{host}.key")
