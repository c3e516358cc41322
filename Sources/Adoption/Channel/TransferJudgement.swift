package import CRTP
internal import Wire

/// What the catalogue says of a TRANSFER, before any socket is made.
package enum TransferJudgement: Equatable {
    case take
    /// By a server of this host that knows nothing of it.
    case replay
    case refuse(NACKReason)
    case askCache(CacheSite, CatalogueQuestion)

    /// Reads the request in TRANSFER strictly. It serves for this judgement alone: what is answered later is read
    /// from the socket (rule 10).
    package init(_ transfer: Transfer, _ catalogue: Catalogue) {
        let key = transfer.connection.key
        guard transfer.application.isOverUDP || transfer.connection.options.clientMSS >= 88 else {
            self = .refuse(.optionsUnsupported)
            return
        }
        let origin = Endpoint(key.server, port: key.serverPort)
        switch TransferJudgement.question(transfer, origin: origin) {
        case .failure(let refusal): self = .refuse(refusal.reason)
        case .success(let question):
            switch catalogue.answer(question) {
            case .document, .relay, .datagrams: self = .take
            case .replay: self = .replay
            case .askCache(let cache): self = .askCache(cache, question)
            case .refused(let reason): self = .refuse(reason)
            }
        }
    }

    private struct Refusal: Error { var reason: NACKReason }

    private static func question(_ transfer: Transfer, origin: Endpoint) -> Result<CatalogueQuestion, Refusal> {
        if transfer.application.isOverUDP { return questionOfName(transfer, origin: origin) }
        var request = transfer.request
        if transfer.isTruncated && transfer.application.isSubset(of: [.httpGet, .httpOther]) {
            endAtLastLine(&request)
        }
        return request.withUnsafeBytes { bytes in
            switch recogniseRequest(bytes, wanted: [.httpGet, .tls, .smtp]) {
            case .incomplete: .failure(Refusal(reason: .requestIncomplete))
            case .unsuitable(.connectMethod), .unsuitable(.unknownProtocol):
                .failure(Refusal(reason: .methodUnsupported))
            case .unsuitable: .failure(Refusal(reason: .policy))
            case .request(let recognised): .success(CatalogueQuestion(recognised, in: bytes, origin: origin))
            }
        }
    }

    /// Of UDP the director tells the name alone. The server reads the datagrams themselves.
    private static func questionOfName(_ transfer: Transfer, origin: Endpoint) -> Result<CatalogueQuestion, Refusal> {
        guard !transfer.request.isEmpty, transfer.request.count <= 255, !transfer.isTruncated,
            let name = String(validating: transfer.request, as: UTF8.self)
        else { return .failure(Refusal(reason: .policy)) }
        return .success(
            CatalogueQuestion(
                origin: origin, host: name.lowercased(), target: [], application: transfer.application,
                hasCredentials: false))
    }

    /// A head that was cut is judged by its complete lines. Whether the rest makes it unsuitable shows on the socket.
    private static func endAtLastLine(_ request: inout [UInt8]) {
        guard let end = request.lastIndex(of: 0x0A), end > 0, request[end - 1] == 0x0D else { return }
        request.removeSubrange((end + 1)...)
        request += [0x0D, 0x0A]
    }
}
