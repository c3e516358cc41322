package import CRTP
package import Wire

extension Catalogue {
    /// The file that another host has begun to send, if there is the same here: as long, changed at the same second, and
    /// with the same bytes before the place where the answer goes on. Hosts that share files by copies keep their
    /// times of change (`rsync --times`, `cp --preserve`).
    package func open(_ continuation: Continuation, origin: Endpoint) -> (document: Document, file: String)? {
        let question = continuation.request.withUnsafeBytes { bytes -> CatalogueQuestion? in
            guard case .request(let request) = recogniseRequest(bytes, wanted: .httpGet) else { return nil }
            return CatalogueQuestion(request, in: bytes, origin: origin)
        }
        guard let question, case .document(let site, let file) = answer(question),
            let document = open(site: site, file: file)
        else { return nil }
        guard document.isSame(as: continuation) else {
            document.closeFile()
            return nil
        }
        return (document, file)
    }
}

extension Document {
    fileprivate func isSame(as continuation: Continuation) -> Bool {
        guard UInt64(bytes) == continuation.documentBytes, Int64(modified) == continuation.modified,
            let place = Int(exactly: continuation.place), place <= bytes,
            let count = Int(exactly: continuation.digestBytes),
            let digest = DocumentDigest(of: descriptor, before: place, count: count)
        else { return false }
        return digest.count == count && digest.bytes == continuation.digest
    }
}
