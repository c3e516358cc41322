import Wire

/// Bodies of messages to bytes and back. No keys, no sessions: what lies between header and tag.
package enum MessageCodec {
    package static var nonceByteCount: Int { 16 }
    package static var cookieByteCount: Int { 24 }
    package static var maximumRequest: Int { 1_216 }
    /// The same beside BLOB, so that no TRANSFER is longer than INIT.
    package static var maximumRequestWithBlob: Int { 1_200 }
    package static var maximumName: Int { 63 }
    package static var maximumKeys: Int { 256 }
    static var connectionByteCount: Int { 8 }
    /// Of a connection's key and state, as TRANSFER begins with them.
    static var connectionStateByteCount: Int { 76 }
    static var groupByteCount: Int { 40 }
    static var requirementsByteCount: Int { 12 }
    static var blobReferenceByteCount: Int { 16 }
    static var flowLabelByteCount: Int { 8 }
    /// The class byte that asks for none.
    static var anyClass: UInt8 { 255 }

    /// Bytes of the body that `encode` makes.
    package static func byteCount(_ message: Message) -> Int {
        let parts =
            switch message {
            case .initiate(let initiate):
                (initiate.cookie.map { part(min($0.count, cookieByteCount)) } ?? 0) + keysPart(initiate.heldKeys)
            case .accept(let accept): part(prefixOfCharacters(accept.agent.name).count) + keysPart(accept.heldKeys)
            case .keepaliveResponse(let status): keysPart(status.heldKeys)
            case .transfer(let transfer):
                parts(of: transfer) + (transfer.blob == nil ? 0 : part(blobReferenceByteCount))
            case .handOff(let transfer, _): parts(of: transfer)
            case .keepalive(let keepalive): keepalive.group == nil ? 0 : part(groupByteCount)
            case .flowInformation(_, _, let label): label == nil ? 0 : part(flowLabelByteCount)
            case .blob(let fragment): part(min(fragment.bytes.count, BlobFragment.maximumBytes))
            case .blobReceipt(let receipt): part(min(receipt.bitmap.count, BlobReceipt.maximumBitmap))
            case .challenge, .error, .transferACK, .transferNACK, .terminate, .terminateResponse,
                .flowInformationEnd, .flowQuery, .flowUnknown, .firstByte:
                0
            }
        return fixedByteCount(message.type) + parts
    }

    private static func part(_ count: Int) -> Int { TypeLengthValue.encodedLength(count) }

    private static func parts(of transfer: Transfer) -> Int {
        part(min(transfer.request.count, maximumRequest(beside: transfer.blob)))
            + (transfer.connectionID == 0 ? 0 : part(connectionByteCount))
            + (transfer.requirements.isEmpty ? 0 : part(requirementsByteCount))
    }

    static func maximumRequest(beside blob: BlobReference?) -> Int {
        blob == nil ? maximumRequest : maximumRequestWithBlob
    }

    /// KEYS is left out when there is nothing to say.
    private static func keysPart(_ held: [UInt8]) -> Int { held.isEmpty ? 0 : part(min(held.count, maximumKeys)) }

    private static func append(keys held: [UInt8], to body: inout FrameWriter) {
        guard !held.isEmpty else { return }
        TypeLengthValue.keys.append(held.prefix(maximumKeys), critical: false, to: &body)
    }

    /// Appends the body of `message`. Total: what is too long is cut, and a cut request says so. `detail` is ERROR's.
    package static func encode(_ message: Message, detail: UInt32 = 0, into body: inout FrameWriter) {
        switch message {
        case .initiate(let initiate): encode(initiate, into: &body)
        case .challenge(let challenge):
            body.append(challenge.nonce, paddedTo: nonceByteCount)
            body.append(challenge.cookie, paddedTo: cookieByteCount)
        case .accept(let accept): encode(accept, into: &body)
        case .keepalive(let keepalive):
            body.append(keepalive.algorithm.rawValue)
            body.appendZeros(7)
            if let group = keepalive.group { encode(group, into: &body) }
        case .keepaliveResponse(let status): encode(status, into: &body)
        case .error(let code):
            body.append(code.rawValue)
            body.appendZeros(3)
            body.append32(detail)
        case .transfer(let transfer):
            encode(transfer, into: &body)
            encode(partsOf: transfer, into: &body)
            if let blob = transfer.blob { encode(blob, into: &body) }
        case .handOff(let transfer, let sentAt):
            encode(transfer, into: &body)
            body.append64(sentAt)
            encode(partsOf: transfer, into: &body)
        case .transferACK, .firstByte, .terminateResponse: break
        case .transferNACK(let reason, let retryAfterMilliseconds):
            body.append(reason.rawValue)
            body.append(0)
            body.append16(retryAfterMilliseconds)
            body.append32(detail)
        case .terminate(let terminate):
            body.append(terminate.cause.rawValue)
            body.appendZeros(3)
            body.append32(terminate.transfer)
            body.append32(terminate.psn.value)
            body.append32(0)
            body.append64(terminate.bytesSent)
        case .flowInformation(let key, let transfer, let label):
            encode(key, protocol: FlowProtocol.tcp, into: &body)
            body.append32(transfer)
            body.append32(0)
            if let label { encode(label, into: &body) }
        case .flowQuery(let key), .flowUnknown(let key): encode(key, protocol: FlowProtocol.tcp, into: &body)
        case .blob(let fragment): encode(fragment, into: &body)
        case .blobReceipt(let receipt): encode(receipt, into: &body)
        case .flowInformationEnd(let count):
            body.append32(count)
            body.append32(0)
        }
    }

    /// The same into an array.
    package static func encode(_ message: Message, detail: UInt32 = 0, into body: inout [UInt8]) {
        body += FrameWriter.bytes(capacity: byteCount(message)) { encode(message, detail: detail, into: &$0) }
    }

    private static func encode(_ initiate: Initiate, into body: inout FrameWriter) {
        body.append(initiate.nonce, paddedTo: nonceByteCount)
        body.append64(initiate.epoch)
        body.append32(initiate.keepaliveMicroseconds)
        body.append(initiate.detectMultiplier)
        body.append(initiate.protection.rawValue)
        body.append16(
            (initiate.wantsFlows ? InitiateFlags.wantsFlows : 0) | (initiate.isForwarder ? InitiateFlags.forwarder : 0))
        if let cookie = initiate.cookie {
            TypeLengthValue.cookie.append(cookie.prefix(cookieByteCount), critical: true, to: &body)
        }
        append(keys: initiate.heldKeys, to: &body)
    }

    /// 64 bytes, NAME, and KEYS.
    private static func encode(_ accept: Accept, into body: inout FrameWriter) {
        body.append(accept.initiatorNonce, paddedTo: nonceByteCount)
        body.append(accept.nonce, paddedTo: nonceByteCount)
        body.append64(accept.agent.epoch)
        body.append16(accept.agent.vlan.value)
        body.append16(UInt16(truncatingIfNeeded: accept.agent.mac.value >> 32))
        body.append32(UInt32(truncatingIfNeeded: accept.agent.mac.value))
        body.append32(accept.agent.credits)
        body.append32(accept.agent.capabilities.rawValue)
        body.append16(accept.agent.mtu)
        body.append(accept.protection.rawValue)
        body.appendZeros(5)
        TypeLengthValue.name.append(prefixOfCharacters(accept.agent.name), critical: false, to: &body)
        append(keys: accept.heldKeys, to: &body)
    }

    /// As many whole characters as fit.
    private static func prefixOfCharacters(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for character in name {
            guard bytes.count + character.utf8.count <= maximumName else { break }
            bytes.append(contentsOf: character.utf8)
        }
        return bytes
    }

    /// GROUP.
    private static func encode(_ group: GroupDescription, into body: inout FrameWriter) {
        TypeLengthValue.group.appendHead(groupByteCount, critical: false, to: &body)
        body.append(group.endpoint.address)
        body.append16(group.endpoint.port)
        body.append(group.keyID)
        body.append(group.protection.rawValue)
        body.append32(group.session)
        body.append(group.nonce, paddedTo: nonceByteCount)
    }

    private static func encode(_ status: AgentStatus, into body: inout FrameWriter) {
        body.append32(status.connections)
        body.append32(status.credits)
        body.append16(status.processorLoad)
        body.append16(status.memoryLoad)
        body.append16((status.isDraining ? StatusFlags.draining : 0) | (status.isInGroup ? StatusFlags.inGroup : 0))
        body.append16(0)
        append(keys: status.heldKeys, to: &body)
    }

    /// 40 bytes.
    private static func encode(_ key: FlowKey, protocol number: UInt8, into body: inout FrameWriter) {
        body.append(key.client)
        body.append(key.server)
        body.append16(key.clientPort)
        body.append16(key.serverPort)
        body.append16(key.vlan.value)
        body.append(number)
        body.append(0)
    }

    /// 76 bytes.
    static func encode(_ state: ConnectionState, protocol number: UInt8, into body: inout FrameWriter) {
        encode(state.key, protocol: number, into: &body)
        body.append32(state.psn.value)
        body.append32(state.pan.value)
        body.append32(state.clientWindow)
        body.append32(state.serverWindowEdge.value)
        body.append16(state.options.clientMSS)
        body.append16(state.options.serverMSS)
        body.append(state.options.clientWindowScale)
        body.append(state.options.serverWindowScale)
        var agreed: UInt8 = 0
        if state.options.windowScale { agreed |= OptionFlags.windowScale }
        if state.options.sack { agreed |= OptionFlags.sack }
        if state.options.timestamps { agreed |= OptionFlags.timestamps }
        body.append(agreed)
        body.append(state.timeToLive)
        body.append32(state.serverTimestamp)
        body.append32(state.clientTimestamp)
        body.append32(state.timestampAgeMicroseconds)
    }

    /// 88 bytes.
    private static func encode(_ transfer: Transfer, into body: inout FrameWriter) {
        encode(
            transfer.connection, protocol: transfer.application.isOverUDP ? FlowProtocol.udp : FlowProtocol.tcp,
            into: &body)
        body.append32(transfer.validMicroseconds)
        body.append(transfer.application.rawValue)
        var flags: UInt8 = 0
        if transfer.isTruncated || transfer.request.count > maximumRequest(beside: transfer.blob) {
            flags |= TransferFlags.truncated
        }
        if transfer.isHeld { flags |= TransferFlags.held }
        if transfer.wantsFirstByte { flags |= TransferFlags.wantsFirstByte }
        if transfer.mayComeBack { flags |= TransferFlags.mayComeBack }
        if transfer.isAcknowledged { flags |= TransferFlags.acknowledged }
        body.append(flags)
        body.append16(transfer.generation)
        body.append32(transfer.handsBack)
    }

    /// REQUEST, and where they say something CONNECTION and REQUIREMENTS.
    private static func encode(partsOf transfer: Transfer, into body: inout FrameWriter) {
        TypeLengthValue.request.append(
            transfer.request.prefix(maximumRequest(beside: transfer.blob)), critical: true, to: &body)
        if transfer.connectionID != 0 {
            TypeLengthValue.connection.appendHead(connectionByteCount, critical: false, to: &body)
            body.append64(transfer.connectionID)
        }
        if !transfer.requirements.isEmpty {
            TypeLengthValue.requirements.appendHead(requirementsByteCount, critical: true, to: &body)
            body.append32(transfer.requirements.bandwidth)
            body.append32(transfer.requirements.delay)
            body.append(transfer.requirements.trafficClass ?? anyClass)
            body.appendZeros(3)
        }
    }
}

/// What a flow key is one of; TCP is what it has always been.
enum FlowProtocol {
    static var tcp: UInt8 { 0 }
    static var udp: UInt8 { 17 }
}

enum InitiateFlags {
    static var wantsFlows: UInt16 { 1 }
    static var forwarder: UInt16 { 2 }
}

enum StatusFlags {
    static var draining: UInt16 { 1 }
    static var inGroup: UInt16 { 2 }
}

enum OptionFlags {
    static var windowScale: UInt8 { 1 }
    static var sack: UInt8 { 2 }
    static var timestamps: UInt8 { 4 }
}

enum TransferFlags {
    static var truncated: UInt8 { 1 }
    static var held: UInt8 { 2 }
    static var wantsFirstByte: UInt8 { 4 }
    static var mayComeBack: UInt8 { 8 }
    static var acknowledged: UInt8 { 16 }
}
