internal import CRTP
import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

extension RequestHandler {
    func respond(_ context: ChannelHandlerContext, _ document: Document, _ file: String) {
        guard let head else { return document.closeFile() }
        let facts = DocumentResponse.Facts(
            bytes: document.bytes, modified: document.modified, entityTag: document.entityTag,
            contentType: ContentType.of(file))
        let response = DocumentResponse(facts, DocumentResponse.Conditions(head.headers))
        let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: document.descriptor)
        var download = Download(file: handle, facts: facts, response: response, rest: response.pieces[...])
        guard let written = written(of: response) else {
            try? handle.close()
            return reset(context)
        }
        download.skip(written)
        write(context, head: response.status, response.headers.map { ($0.name, $0.value) }, by: "document")
        record.bytes = written
        if head.method == .HEAD || response.pieces.isEmpty {
            try? handle.close()
            finish(context)
        } else {
            send(context, download)
        }
    }

    /// Bytes of the body that the client's former server has written; nil when this answer is not the one that it began.
    private func written(of response: DocumentResponse) -> Int? {
        guard let continuation = continuation.take() else { return 0 }
        guard let written = Int(exactly: continuation.bodyBytesWritten),
            Int(exactly: continuation.place) == response.place(after: written)
        else { return nil }
        return written
    }

    /// Writes a response's head; framing must be among `fields`.
    func write(_ context: ChannelHandlerContext, head status: Int, _ fields: [(String, String)], by server: String) {
        var headers = HTTPHeaders([("Date", HTTPDate.text(HTTPDate.now)), ("Server", "baton")] + fields)
        record.status = status
        record.answeredBy = server
        record.keepsAlive = keepsAlive
        if !keepsAlive {
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else if head?.version == .http1_0 {
            headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        let response = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)
        context.write(wrapOutboundOut(.head(response)), promise: nil)
    }

    /// A whole response without a body of its own worth.
    func write(_ context: ChannelHandlerContext, error status: Int) {
        let text = head?.method == .HEAD ? "" : "\(status)\n"
        write(
            context, head: status, [("Content-Length", "\(text.utf8.count)"), ("Content-Type", "text/plain")],
            by: "agent")
        if !text.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil) }
        finish(context)
    }

    func send(_ context: ChannelHandlerContext, _ download: Download) {
        var download = download
        guard let piece = download.take() else {
            try? download.file.close()
            return finish(context)
        }
        let part: IOData
        switch piece {
        case .text(let text): part = .byteBuffer(ByteBuffer(string: text))
        case .file(let range):
            part = .fileRegion(
                FileRegion(fileHandle: download.file, readerIndex: range.lowerBound, endIndex: range.upperBound))
        }
        let bytes = part.readableBytes
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [download] result in
            switch result {
            case .success:
                self.record.bytes += bytes
                guard let context = self.context else {
                    try? download.file.close()
                    return
                }
                if self.canDepart, !download.rest.isEmpty {
                    self.depart(context, download)
                } else {
                    self.send(context, download)
                }
            case .failure:
                // The file has shrunk or the client has gone: the length that was promised cannot be kept.
                try? download.file.close()
                self.context?.close(promise: nil)
            }
        }
        context.writeAndFlush(wrapOutboundOut(.body(part)), promise: written)
    }
}

extension Document {
    func closeFile() { close(descriptor) }
}

extension DocumentResponse.Conditions {
    /// Repeated fields are one list (RFC 9110 section 5.3).
    init(_ headers: HTTPHeaders) {
        self.init()
        func list(_ name: String) -> String? {
            let values = headers[name]
            return values.isEmpty ? nil : values.joined(separator: ", ")
        }
        ifMatch = list("if-match")
        ifNoneMatch = list("if-none-match")
        ifModifiedSince = headers.first(name: "if-modified-since")
        ifUnmodifiedSince = headers.first(name: "if-unmodified-since")
        ifRange = headers.first(name: "if-range")
        range = headers["range"].count == 1 ? headers.first(name: "range") : nil
    }
}
