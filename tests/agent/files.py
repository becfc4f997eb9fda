# SPDX-License-Identifier: GPL-2.0-or-later
"""/files: downloads a file, and uploads one as a multipart form or as plain octets."""

import os
import tempfile

import filesystem
from rpc import STATUS, RpcError


def serve(connection, request):
    try:
        if request.method == "GET":
            _download(connection, request)
        else:
            connection.answer_json(200, _upload(request))
    except FileNotFoundError as error:
        connection.answer_json(404, {"code": 404, "message": str(error)})
    except RpcError as error:
        connection.answer_json(STATUS[error.code], {"code": STATUS[error.code], "message": str(error)})
    except (IsADirectoryError, NotADirectoryError, ValueError) as error:
        connection.answer_json(400, {"code": 400, "message": str(error)})


def _download(connection, request):
    with open(filesystem.real(request.query["path"]), "rb") as file:
        connection.answer_file(file, os.fstat(file.fileno()).st_size, {"Content-Type": "application/octet-stream"})


def _upload(request):
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        boundary = kind.split("boundary=", 1)[1].strip('"')
        writers = _split(request.body(), boundary.encode(), request.query.get("path"))
    else:
        writers = [_write(request.query["path"], request.body())]
    return [{"path": path, "name": os.path.basename(path), "type": "file"} for path in writers]


def _write(path, pieces):
    """Writes the whole file or nothing: it is renamed into place."""
    filesystem.make_home()
    path = filesystem.absolute(path)
    where = filesystem.real(path)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    if os.path.isdir(where):
        raise IsADirectoryError(f"path is a directory: {path}")
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(where), prefix=".upload-", delete=False) as file:
        try:
            for piece in pieces:
                file.write(piece)
            os.fchmod(file.fileno(), 0o644)
            filesystem.give(file.name)
            os.replace(file.name, where)
        except BaseException:
            os.unlink(file.name)
            raise
    return path


def _filename(head):
    for line in head.decode("utf-8", "replace").split("\r\n"):
        if line.lower().startswith("content-disposition:") and 'filename="' in line:
            return line.split('filename="', 1)[1].split('"', 1)[0].replace("%22", '"')
    return None


class _Parts:
    """The pieces of a multipart body up to the boundary; a possible beginning of one is held back."""

    def __init__(self, pieces, boundary):
        self.pieces = pieces
        self.mark = b"\r\n--" + boundary
        self.data = b"\r\n"

    def more(self):
        piece = next(self.pieces, None)
        if piece is None:
            raise ValueError("the multipart body ends too early")
        self.data += piece

    def until(self, mark):
        """Yields the data before MARK, and consumes MARK too."""
        while mark not in self.data:
            safe = len(self.data) - len(mark)
            if safe > 0:
                yield self.data[:safe]
                self.data = self.data[safe:]
            self.more()
        before, self.data = self.data.split(mark, 1)
        if before:
            yield before

    def last(self):
        while len(self.data) < 2:
            self.more()
        return self.data[:2] == b"--"


def _split(pieces, boundary, path):
    parts = _Parts(pieces, boundary)
    for _ in parts.until(parts.mark):
        pass
    while not parts.last():
        head = b"".join(parts.until(b"\r\n\r\n"))
        name = _filename(head)
        body = parts.until(parts.mark)
        if name is None:
            for _ in body:
                pass
        else:
            yield _write(path or name, body)
    for _ in parts.pieces:
        pass
