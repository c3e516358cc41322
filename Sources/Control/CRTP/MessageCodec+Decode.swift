import Wire

/// What a body turned out to be.
package enum DecodedBody: Equatable, Sendable {
    /// `detail` is ERROR's: the session or the TLV that it is about.
    case message(Message, detail: UInt32)
    /// A type from 0x80 on that this version does not know.
    case ignored
    /// A lower one.
    case unknownType
    /// A critical part that this version does not know.
    case badTLV(UInt16)
    case malformed
}

extension MessageCodec {
    /// Reads a body that was authenticated. Total. `session` is the header's.
    package static func decode(type: UInt8, session: UInt32, body: UnsafeRawBufferPointer) -> DecodedBody {
        guard let type = MessageType(rawValue: type) else { return type >= 0x80 ? .ignored : .unknownType }
        let fixed = fixedByteCount(type)
        guard body.count >= fixed else { return .malformed }
        var parts = Parts()
        switch parts.read(body, from: fixed, of: type) {
        case .done: break
        case .badTLV(let type): return .badTLV(type)
        case .malformed: return .malformed
        }
        guard let message = decode(type, session: session, body: body, parts: parts) else { return .malformed }
        switch message {
        case .error: return .message(message, detail: body.load32(at: 4))
        case .transferNACK: return .message(message, detail: body.load32(at: 4))
        case .initiate, .challenge, .accept, .keepalive, .keepaliveResponse, .transfer, .transferACK, .firstByte,
            .handOff, .terminate, .terminateResponse, .flowInformation, .flowInformationEnd, .flowQuery, .flowUnknown,
            .blob, .blobReceipt:
            return .message(message, detail: 0)
        }
    }

    /// Bytes before the first part.
    static func fixedByteCount(_ type: MessageType) -> Int {
        switch type {
        case .initiate: 32
        case .challenge: 40
        case .accept: 64
        case .error, .keepalive, .transferNACK, .flowInformationEnd: 8
        case .keepaliveResponse: 16
        case .transfer: 88
        case .handOff: 96
        case .transferACK, .firstByte, .terminateResponse: 0
        case .terminate, .blob: 24
        case .blobReceipt: 12
        case .flowQuery, .flowUnknown: 40
        case .flowInformation: 48
        }
    }

    /// Where the parts lie that a message may have.
    struct Parts {
        var request: Range<Int>?
        var cookie: Range<Int>?
        var name: Range<Int>?
        var keys: Range<Int>?
        var connection: Range<Int>?
        var requirements: Range<Int>?
        var group: Range<Int>?
        var blob: Range<Int>?
        var flowLabel: Range<Int>?
        var fragment: Range<Int>?
        var received: Range<Int>?

        enum Reading {
            case done
            case badTLV(UInt16)
            case malformed
        }

        mutating func read(_ body: UnsafeRawBufferPointer, from offset: Int, of message: MessageType) -> Reading {
            var reader = TypeLengthValueReader(body, from: offset)
            while true {
                switch reader.next() {
                case .end: return .done
                case .malformed: return .malformed
                case .value(let type, let critical, let start, let count):
                    let range = start..<start + count
                    switch (TypeLengthValue(rawValue: type), message) {
                    case (.request, .transfer), (.request, .handOff):
                        guard request == nil else { return .malformed }
                        request = range
                    case (.cookie, .initiate):
                        guard cookie == nil else { return .malformed }
                        cookie = range
                    case (.name, .accept):
                        guard name == nil else { return .malformed }
                        name = range
                    case (.keys, .initiate), (.keys, .accept), (.keys, .keepaliveResponse):
                        guard keys == nil, count <= maximumKeys else { return .malformed }
                        keys = range
                    case (.group, .keepalive):
                        guard group == nil, count == groupByteCount else { return .malformed }
                        group = range
                    case (.connection, .transfer), (.connection, .handOff):
                        guard connection == nil, count == connectionByteCount else { return .malformed }
                        connection = range
                    case (.requirements, .transfer), (.requirements, .handOff):
                        guard requirements == nil, count == requirementsByteCount else { return .malformed }
                        requirements = range
                    case (.blob, .transfer):
                        guard blob == nil, count == blobReferenceByteCount else { return .malformed }
                        blob = range
                    case (.flowLabel, .flowInformation):
                        guard flowLabel == nil, count == flowLabelByteCount else { return .malformed }
                        flowLabel = range
                    case (.fragment, .blob):
                        guard fragment == nil, count <= BlobFragment.maximumBytes else { return .malformed }
                        fragment = range
                    case (.received, .blobReceipt):
                        guard received == nil, count <= BlobReceipt.maximumBitmap else { return .malformed }
                        received = range
                    case (.padding, _): break
                    case (_, _): if critical { return .badTLV(type) }
                    }
                }
            }
        }
    }

    private static func decode(
        _ type: MessageType, session: UInt32, body: UnsafeRawBufferPointer, parts: Parts
    ) -> Message? {
        switch type {
        case .initiate: return decodeInitiate(body, parts).map(Message.initiate)
        case .challenge:
            return .challenge(
                Challenge(
                    nonce: body.loadBytes(at: 0, count: nonceByteCount),
                    cookie: body.loadBytes(at: 16, count: cookieByteCount)))
        case .accept: return decodeAccept(body, parts, session: session).map(Message.accept)
        case .error: return ErrorCode(rawValue: body[0]).map(Message.error)
        case .keepalive: return decodeKeepalive(body, parts).map(Message.keepalive)
        case .keepaliveResponse:
            var status = AgentStatus(
                connections: body.load32(at: 0), credits: body.load32(at: 4), processorLoad: body.load16(at: 8),
                memoryLoad: body.load16(at: 10), isDraining: body.load16(at: 12) & StatusFlags.draining != 0)
            status.isInGroup = body.load16(at: 12) & StatusFlags.inGroup != 0
            status.heldKeys = heldKeys(body, parts)
            return .keepaliveResponse(status)
        case .transfer: return decodeTransfer(body, parts).map(Message.transfer)
        case .handOff:
            // Of UDP there is nothing to take over.
            guard let transfer = decodeTransfer(body, parts), !transfer.application.isOverUDP else { return nil }
            return .handOff(transfer, sentAt: body.load64(at: 88))
        case .transferACK: return .transferACK
        case .firstByte: return .firstByte
        case .terminateResponse: return .terminateResponse
        case .transferNACK:
            return NACKReason(rawValue: body[0]).map {
                .transferNACK($0, retryAfterMilliseconds: body.load16(at: 2))
            }
        case .terminate:
            guard let cause = Terminate.Cause(rawValue: body[0]) else { return nil }
            return .terminate(
                Terminate(
                    cause: cause, transfer: body.load32(at: 4), psn: SequenceNumber(body.load32(at: 8)),
                    bytesSent: body.load64(at: 16)))
        case .flowInformation:
            return decodeFlowKey(body).map {
                .flowInformation($0, transfer: body.load32(at: 40), label: decodeFlowLabel(body, parts))
            }
        case .flowInformationEnd: return .flowInformationEnd(count: body.load32(at: 0))
        case .flowQuery: return decodeFlowKey(body).map(Message.flowQuery)
        case .flowUnknown: return decodeFlowKey(body).map(Message.flowUnknown)
        case .blob: return decodeBlobFragment(body, parts).map(Message.blob)
        case .blobReceipt: return decodeBlobReceipt(body, parts).map(Message.blobReceipt)
        }
    }

    private static func decodeKeepalive(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> Keepalive? {
        guard let algorithm = SelectionAlgorithm(rawValue: body[0]) else { return nil }
        var keepalive = Keepalive(algorithm: algorithm)
        guard let start = parts.group?.lowerBound else { return keepalive }
        guard let protection = Protection(rawValue: body[start + 19]), body.load32(at: start + 20) != 0 else {
            return nil
        }
        keepalive.group = GroupDescription(
            endpoint: Endpoint(body.loadAddress(at: start), port: body.load16(at: start + 16)),
            session: body.load32(at: start + 20), nonce: body.loadBytes(at: start + 24, count: nonceByteCount),
            keyID: body[start + 18], protection: protection)
        return keepalive
    }

    private static func decodeInitiate(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> Initiate? {
        guard let protection = Protection(rawValue: body[29]), body[28] > 0, body.load32(at: 24) > 0 else { return nil }
        if let cookie = parts.cookie, cookie.count != cookieByteCount { return nil }
        var initiate = Initiate(
            nonce: body.loadBytes(at: 0, count: nonceByteCount),
            cookie: parts.cookie.map { body.loadBytes(at: $0.lowerBound, count: $0.count) },
            epoch: body.load64(at: 16), protection: protection, keepaliveMicroseconds: body.load32(at: 24),
            detectMultiplier: body[28], wantsFlows: body.load16(at: 30) & InitiateFlags.wantsFlows != 0)
        initiate.isForwarder = body.load16(at: 30) & InitiateFlags.forwarder != 0
        initiate.heldKeys = heldKeys(body, parts)
        return initiate
    }

    private static func heldKeys(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> [UInt8] {
        parts.keys.map { body.loadBytes(at: $0.lowerBound, count: $0.count) } ?? []
    }

    private static func decodeAccept(_ body: UnsafeRawBufferPointer, _ parts: Parts, session: UInt32) -> Accept? {
        guard session != 0, let protection = Protection(rawValue: body[58]), let vlan = decodeVLAN(body.load16(at: 40)),
            let name = parts.name, name.count <= maximumName,
            !body[name].contains(where: { $0 < 0x20 || $0 == 0x7F }),
            let text = String(validating: body[name], as: UTF8.self)
        else { return nil }
        let mac = UInt64(body.load16(at: 42)) << 32 | UInt64(body.load32(at: 44))
        var accept = Accept(
            session: session, initiatorNonce: body.loadBytes(at: 0, count: nonceByteCount),
            nonce: body.loadBytes(at: 16, count: nonceByteCount), protection: protection,
            agent: AgentDescription(
                name: text, mac: MACAddress(mac), vlan: vlan, mtu: body.load16(at: 56), epoch: body.load64(at: 32),
                credits: body.load32(at: 48), capabilities: Capabilities(rawValue: body.load32(at: 52))))
        accept.heldKeys = heldKeys(body, parts)
        return accept
    }

    private static func decodeVLAN(_ value: UInt16) -> VLAN? {
        value < 4_096 || value == VLAN.untagged.value ? VLAN(value) : nil
    }

    /// Both addresses are of one family.
    private static func decodeFlowKey(_ body: UnsafeRawBufferPointer) -> FlowKey? {
        let client = body.loadAddress(at: 0)
        let server = body.loadAddress(at: 16)
        guard client.isV4 == server.isV4, let vlan = decodeVLAN(body.load16(at: 36)) else { return nil }
        return FlowKey(
            client: client, clientPort: body.load16(at: 32), server: server, serverPort: body.load16(at: 34), vlan: vlan
        )
    }

    /// Of the first 76 bytes.
    static func decodeConnectionState(_ body: UnsafeRawBufferPointer) -> ConnectionState? {
        guard let key = decodeFlowKey(body), body[60] <= 14, body[61] <= 14 else { return nil }
        let agreed = body[62]
        return ConnectionState(
            key: key, psn: SequenceNumber(body.load32(at: 40)), pan: SequenceNumber(body.load32(at: 44)),
            clientWindow: body.load32(at: 48), serverWindowEdge: SequenceNumber(body.load32(at: 52)),
            options: NegotiatedOptions(
                clientMSS: body.load16(at: 56), serverMSS: body.load16(at: 58), clientWindowScale: body[60],
                serverWindowScale: body[61], windowScale: agreed & OptionFlags.windowScale != 0,
                sack: agreed & OptionFlags.sack != 0, timestamps: agreed & OptionFlags.timestamps != 0),
            serverTimestamp: body.load32(at: 64), clientTimestamp: body.load32(at: 68),
            timestampAgeMicroseconds: body.load32(at: 72), timeToLive: body[63])
    }

    private static func decodeTransfer(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> Transfer? {
        let application = Application(rawValue: body[80])
        let blob = decodeBlobReference(body, parts)
        guard let connection = decodeConnectionState(body), let request = parts.request,
            request.count <= maximumRequest(beside: blob), blob == nil || !application.isOverUDP,
            body[80] & (body[80] &- 1) == 0,
            !application.isDisjoint(with: [.httpGet, .httpOther, .tls, .smtp, .dns, .quic]),
            body[38] == (application.isOverUDP ? FlowProtocol.udp : FlowProtocol.tcp)
        else { return nil }
        let flags = body[81]
        var transfer = Transfer(
            connection: connection,
            request: body.loadBytes(at: request.lowerBound, count: request.count),
            isTruncated: flags & TransferFlags.truncated != 0, isHeld: flags & TransferFlags.held != 0,
            application: application, validMicroseconds: body.load32(at: 76),
            wantsFirstByte: flags & TransferFlags.wantsFirstByte != 0)
        transfer.mayComeBack = body[81] & TransferFlags.mayComeBack != 0
        transfer.isAcknowledged = body[81] & TransferFlags.acknowledged != 0
        transfer.generation = body.load16(at: 82)
        transfer.handsBack = body.load32(at: 84)
        transfer.blob = blob
        transfer.connectionID = parts.connection.map { body.load64(at: $0.lowerBound) } ?? 0
        if let start = parts.requirements?.lowerBound {
            let trafficClass = body[start + 8]
            guard trafficClass < 64 || trafficClass == anyClass else { return nil }
            transfer.requirements = Requirements(
                bandwidth: body.load32(at: start), delay: body.load32(at: start + 4),
                trafficClass: trafficClass == anyClass ? nil : trafficClass)
        }
        return transfer
    }
}
