import CRTP
import Foundation
import Testing
import Wire

/// `docs/crtp.md` ends with vectors: these tests make them, compare them with the page, and let the independent
/// decoder read the page. `BATON_WRITE_VECTORS=1` writes the page's section anew.
@Suite struct VectorTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let page = root.appendingPathComponent("docs/crtp.md")
    static let begin = "<!-- vectors -->\n```\n"
    static let end = "```\n"

    static let initiatorNonce = [UInt8](0xA0...0xAF)
    static let responderNonce = [UInt8](0xB0...0xBF)
    static let session: UInt32 = 0x5E55_1011
    static let senderID: UInt32 = 0x0A0B_0C01

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    static func hex64(_ word: UInt64) -> String {
        hex((0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) })
    }

    static func hex(_ address: IPAddress) -> String { hex64(address.high) + hex64(address.low) }

    struct Vector {
        var name: String
        var message: Message
        /// Nil for the handshake's keys.
        var protection: Protection?
        var direction = Direction.fromResponder
        /// From the initiator to all of its group.
        var isToGroup = false
        /// Without a session, from whoever has the key.
        var isHandOff = false
        var padTo = 0
        var detail: UInt32 = 0
    }

    static var vectors: [Vector] {
        let cookie = [UInt8](0xC0...0xD7)
        let initiate = Initiate(nonce: initiatorNonce, epoch: 0x0102_0304_0506_0708)
        var withCookie = initiate
        withCookie.cookie = cookie
        withCookie.heldKeys = [1, 2]
        var accept = Accept(
            session: session, initiatorNonce: initiatorNonce, nonce: responderNonce, agent: describeAgent())
        accept.heldKeys = [1, 2, 255]
        var status = AgentStatus(
            connections: 12, credits: 988, processorLoad: 250, memoryLoad: 333, isDraining: true)
        status.heldKeys = [2]
        status.isInGroup = true
        let terminate = Terminate(
            cause: .flowDone, transfer: 77, psn: SequenceNumber(0x0102_0304), bytesSent: 5_000_000_000)
        let handBack = Terminate(cause: .handBack, transfer: 77, psn: SequenceNumber(0x0102_0304))
        let key = transferV6().connection.key
        var list: [Vector] = [
            Vector(name: "INIT", message: .initiate(initiate), direction: .fromInitiator, padTo: 256),
            Vector(name: "CHALLENGE", message: .challenge(Challenge(nonce: initiatorNonce, cookie: cookie))),
            Vector(name: "INIT with cookie", message: .initiate(withCookie), direction: .fromInitiator, padTo: 256),
            Vector(name: "ACCEPT", message: .accept(accept)),
            Vector(name: "ERROR outside a session", message: .error(.badSession), detail: 0xDEAD_BEEF),
        ]
        for protection in Protection.allCases {
            let suffix = protection == .sealed ? "sealed" : "authenticated"
            list += [
                Vector(
                    name: "TRANSFER, IPv4, \(suffix)", message: .transfer(transferV4()), protection: protection,
                    direction: .fromInitiator),
                Vector(
                    name: "TRANSFER, IPv6, \(suffix)", message: .transfer(transferV6()), protection: protection,
                    direction: .fromInitiator),
                Vector(
                    name: "TRANSFER that requires, \(suffix)", message: .transfer(transferThatRequires()),
                    protection: protection, direction: .fromInitiator),
                Vector(name: "TRANSFER_ACK, \(suffix)", message: .transferACK, protection: protection),
            ]
        }
        let datagrams = Transfer(
            connection: ConnectionState(
                key: key, psn: SequenceNumber(0), pan: SequenceNumber(0), clientWindow: 0,
                serverWindowEdge: SequenceNumber(0), options: NegotiatedOptions(clientMSS: 0, serverMSS: 0),
                timeToLive: 0),
            request: Array("www.example.org".utf8), application: .quic, validMicroseconds: 20_000)
        let sealed: [(String, Message, Direction)] = [
            ("TRANSFER, UDP", .transfer(datagrams), .fromInitiator),
            ("KEEPALIVE", .keepalive(Keepalive(algorithm: .leastConnections)), .fromInitiator),
            ("KEEPALIVE_RESPONSE", .keepaliveResponse(status), .fromResponder),
            ("TRANSFER_NACK", .transferNACK(.busy, retryAfterMilliseconds: 1_500), .fromResponder),
            ("TRANSFER that hands back", .transfer(transferThatHandsBack()), .fromResponder),
            ("TRANSFER that goes on", .transfer(transferThatGoesOn()), .fromInitiator),
            ("FIRST_BYTE", .firstByte, .fromResponder),
            ("TERMINATE", .terminate(terminate), .fromResponder),
            ("TERMINATE_RESPONSE", .terminateResponse, .fromInitiator),
            ("FLOW_INFO", .flowInformation(key, transfer: 78), .fromResponder),
            ("FLOW_INFO_END", .flowInformationEnd(count: 1), .fromResponder),
            ("FLOW_QUERY", .flowQuery(key), .fromInitiator),
            ("FLOW_UNKNOWN", .flowUnknown(key), .fromResponder),
            (
                "FLOW_INFO with a label",
                .flowInformation(key, transfer: 78, label: FlowLabel(identifier: 0xABCDEF, generation: 3)),
                .fromResponder
            ),
            ("TERMINATE that wants the connection back", .terminate(handBack), .fromInitiator),
            ("TRANSFER whose connection is in a blob", .transfer(transferWithBlob()), .fromResponder),
        ]
        var keepalive = Keepalive(algorithm: .multicast)
        keepalive.group = group(.sealed)
        list.append(
            Vector(
                name: "KEEPALIVE that names a group", message: .keepalive(keepalive), protection: .sealed,
                direction: .fromInitiator))
        for protection in Protection.allCases {
            list.append(
                Vector(
                    name: "TRANSFER to a group, \(protection)", message: .transfer(transferV6()),
                    protection: protection,
                    direction: .fromInitiator, isToGroup: true))
        }
        for (name, transfer) in [("IPv4", transferV4()), ("IPv6", transferV6())] {
            list.append(
                Vector(
                    name: "HANDOFF, \(name)", message: .handOff(transfer, sentAt: 1_700_000_000_123_456),
                    protection: .sealed, direction: .fromInitiator, isHandOff: true))
        }
        list += sealed.map { Vector(name: $0.0, message: $0.1, protection: .sealed, direction: $0.2) }
        for protection in Protection.allCases {
            list += blobs.map {
                Vector(name: "\($0.0), \(protection)", message: $0.1, protection: protection, direction: $0.2)
            }
        }
        var forwarder = initiate
        forwarder.isForwarder = true
        var moved = transferThatGoesOn()
        moved.generation = 2
        list += [
            Vector(
                name: "INIT of a forwarder", message: .initiate(forwarder), direction: .fromInitiator, padTo: 256),
            Vector(
                name: "TRANSFER of a connection that has changed hands", message: .transfer(moved),
                protection: .sealed, direction: .fromInitiator),
        ]
        return list
    }

    /// A blob in three fragments, the last of which is shorter, and what its receiver says.
    static var blobs: [(String, Message, Direction)] {
        let bytes = (0..<250).map { UInt8($0) }
        let identifier: UInt64 = 0xB10B_0001_0000_0007
        let fragments = [0, 2].map { index in
            BlobFragment(
                blob: identifier, length: 250, checksum: 0xD87B_4C74, index: UInt16(index), count: 3,
                fragmentBytes: 100, bytes: Array(bytes[index * 100..<min(index * 100 + 100, 250)]))
        }
        let receipts: [(String, BlobReceipt.State, [UInt8])] = [
            ("receiving", .receiving, [5]), ("complete", .complete, []), ("refused", .refused(.busy), []),
        ]
        return fragments.map { ("BLOB, fragment \($0.index)", .blob($0), .fromResponder) }
            + receipts.map { name, state, bitmap in
                (
                    "BLOB_RECEIPT, \(name)",
                    .blobReceipt(BlobReceipt(blob: identifier, state: state, index: 2, bitmap: bitmap)),
                    .fromInitiator
                )
            }
    }

    /// Its session and its nonce are those of the page's session and initiator.
    static func group(_ protection: Protection) -> GroupDescription {
        GroupDescription(
            endpoint: Endpoint("239.192.0.1:7443")!, session: session, nonce: initiatorNonce, keyID: 1,
            protection: protection)
    }

    static func text() -> String {
        let schedule = KeySchedule(testKeys)
        var out = "key 1\n  \(hex(testKeys.keys[1]!))\n"
        out += "session \(session)\n  initiator \(hex(initiatorNonce))\n  responder \(hex(responderNonce))\n"
        for (index, vector) in vectors.enumerated() {
            let isAccept = vector.message.type == .accept
            let header = FrameHeader(
                type: vector.message.type.rawValue, keyID: 1, protection: vector.protection ?? .authenticated,
                senderID: senderID, session: vector.protection != nil || isAccept ? session : 0,
                sequence: 0x0000_0001_0000_0000 + UInt64(index), transaction: 77, attempt: 2)
            let protection =
                if vector.isHandOff {
                    schedule.handOff(senderID: senderID, session: session, keyID: 1, protection: .sealed)!
                } else if let chosen = vector.protection, vector.isToGroup {
                    schedule.group(group(chosen))!
                } else if let chosen = vector.protection {
                    schedule.session(
                        session, keyID: 1, protection: chosen, initiatorNonce: initiatorNonce,
                        responderNonce: responderNonce, direction: vector.direction)!
                } else {
                    schedule.handshake(1, vector.direction)!
                }
            let frame = FrameCodec.encode(
                vector.message, detail: vector.detail, header: header, protection: protection, padTo: vector.padTo)
            out += "\n\(vector.name)\n"
            out += "  keys \(vector.isHandOff ? "one-way" : vector.protection == nil ? "handshake" : "session")\n"
            out += "  from \(vector.isToGroup ? "g" : vector.direction == .fromInitiator ? "i" : "r")\n"
            for start in stride(from: 0, to: frame.count, by: 48) {
                out += "  \(start == 0 ? "frame" : "     ") \(hex(frame[start..<min(start + 48, frame.count)]))\n"
            }
            let head =
                "type=\(header.type) session=\(header.session) sequence=\(header.sequence) "
                + "transaction=\(header.transaction) attempt=\(header.attempt)"
            out += "  means \(head)\n"
            for line in meaning(vector.message, vector.detail) { out += "        \(line)\n" }
        }
        return out
    }

    static func meaning(_ message: Message, _ detail: UInt32) -> [String] {
        func key(_ key: FlowKey, protocol number: Int = 0) -> String {
            "client=\(hex(key.client)) server=\(hex(key.server)) client_port=\(key.clientPort) "
                + "server_port=\(key.serverPort) vlan=\(key.vlan.value) protocol=\(number)"
        }
        func held(_ keys: [UInt8]) -> String { keys.isEmpty ? "" : " keys=\(hex(keys))" }
        switch message {
        case .initiate(let m):
            return [
                "nonce=\(hex(m.nonce)) epoch=\(m.epoch) interval=\(m.keepaliveMicroseconds) "
                    + "multiplier=\(m.detectMultiplier) protection=\(m.protection.rawValue) "
                    + "flags=\((m.wantsFlows ? 1 : 0) | (m.isForwarder ? 2 : 0)) cookie=\(m.cookie.map { hex($0) } ?? "none")"
                    + held(m.heldKeys)
            ]
        case .challenge(let m): return ["nonce=\(hex(m.nonce)) cookie=\(hex(m.cookie))"]
        case .accept(let m):
            let a = m.agent
            return [
                "initiator=\(hex(m.initiatorNonce)) responder=\(hex(m.nonce)) epoch=\(a.epoch) vlan=\(a.vlan.value)",
                "mac=\(a.mac.value) credits=\(a.credits) capabilities=\(a.capabilities.rawValue) mtu=\(a.mtu) "
                    + "protection=\(m.protection.rawValue) name=\(hex(a.name.utf8))" + held(m.heldKeys),
            ]
        case .error(let code): return ["code=\(code.rawValue) detail=\(detail)"]
        case .keepalive(let m):
            return ["algorithm=\(m.algorithm.rawValue)"]
                + (m.group.map { group in
                    [
                        "group=\(hex(group.endpoint.address)) group_port=\(group.endpoint.port) group_key=\(group.keyID) "
                            + "group_protection=\(group.protection.rawValue) group_session=\(group.session) "
                            + "group_nonce=\(hex(group.nonce))"
                    ]
                } ?? [])
        case .keepaliveResponse(let m):
            return [
                "connections=\(m.connections) credits=\(m.credits) processor=\(m.processorLoad) "
                    + "memory=\(m.memoryLoad) flags=\((m.isDraining ? 1 : 0) | (m.isInGroup ? 2 : 0))"
                    + held(m.heldKeys)
            ]
        case .handOff(let m, let sentAt): return meaning(.transfer(m), detail) + ["sent_at=\(sentAt)"]
        case .transfer(let m):
            let c = m.connection
            let o = c.options
            let agreed = (o.windowScale ? 1 : 0) | (o.sack ? 2 : 0) | (o.timestamps ? 4 : 0)
            let flags =
                (m.isTruncated ? 1 : 0) | (m.isHeld ? 2 : 0) | (m.wantsFirstByte ? 4 : 0) | (m.mayComeBack ? 8 : 0)
                | (m.isAcknowledged ? 16 : 0)
            return [
                key(c.key, protocol: m.application.isOverUDP ? 17 : 0),
                "psn=\(c.psn) pan=\(c.pan) window=\(c.clientWindow) edge=\(c.serverWindowEdge) "
                    + "mss=\(o.clientMSS),\(o.serverMSS) scale=\(o.clientWindowScale),\(o.serverWindowScale) "
                    + "agreed=\(agreed) ttl=\(c.timeToLive)",
                "tsval=\(c.serverTimestamp),\(c.clientTimestamp) age=\(c.timestampAgeMicroseconds) "
                    + "valid=\(m.validMicroseconds) application=\(m.application.rawValue) flags=\(flags)",
                "request=\(hex(m.request))",
            ] + optional(m) + (m.generation == 0 ? [] : ["generation=\(m.generation)"])
        case .transferNACK(let reason, let retry):
            return ["reason=\(reason.rawValue) retry=\(retry) detail=\(detail)"]
        case .terminate(let m):
            return ["cause=\(m.cause.rawValue) transfer=\(m.transfer) psn=\(m.psn) sent=\(m.bytesSent)"]
        case .flowInformation(let k, let transfer, let label):
            return [key(k), "transfer=\(transfer)"]
                + (label.map { ["identifier=\($0.identifier) generation=\($0.generation)"] } ?? [])
        case .flowQuery(let k), .flowUnknown(let k): return [key(k)]
        case .blob(let m):
            return [
                "blob=\(hex64(m.blob)) length=\(m.length) checksum=\(m.checksum) index=\(m.index) count=\(m.count) "
                    + "fragment_bytes=\(m.fragmentBytes)",
                "fragment=\(hex(m.bytes))",
            ]
        case .blobReceipt(let m):
            let (state, reason) =
                switch m.state {
                case .receiving: (0, 0)
                case .complete: (1, 0)
                case .refused(let reason): (2, Int(reason.rawValue))
                }
            return [
                "blob=\(hex64(m.blob)) state=\(state) reason=\(reason) index=\(m.index) received=\(m.bitmap.isEmpty ? "none" : hex(m.bitmap))"
            ]
        case .flowInformationEnd(let count): return ["count=\(count)"]
        case .transferACK, .firstByte, .terminateResponse: return []
        }
    }

    /// What a TRANSFER says only at times.
    static func optional(_ transfer: Transfer) -> [String] {
        let asked = transfer.requirements
        return (transfer.handsBack == 0 ? [] : ["transfer=\(transfer.handsBack)"])
            + (transfer.connectionID == 0 ? [] : ["connection=\(hex64(transfer.connectionID))"])
            + (asked.isEmpty
                ? [] : ["bandwidth=\(asked.bandwidth) delay=\(asked.delay) class=\(asked.trafficClass ?? 255)"])
            + (transfer.blob.map {
                ["blob=\(hex64($0.identifier)) length=\($0.length) checksum=\($0.checksum)"]
            } ?? [])
    }

    static let beginOfConnection = "<!-- connection -->\n```\n"

    /// The example of a connection in a blob.
    static func connectionText() -> String {
        let blob = ConnectionBlobTests.full
        let bytes = blob.encode()
        var out = ""
        for start in stride(from: 0, to: bytes.count, by: 48) {
            out += "\(start == 0 ? "blob" : "    ") \(hex(bytes[start..<min(start + 48, bytes.count)]))\n"
        }
        // The state as TRANSFER has it; tsval and age are TRANSFER's beginning of the third line.
        let state = meaning(.transfer(Transfer(connection: blob.connection, request: [])), 0)
        let clock = state[2].split(separator: " ").prefix(2).joined(separator: " ")
        var lines = ["version=1 generation=\(blob.generation)", state[0], state[1], clock]
        lines.append("received=\(hex(blob.received)) sent=\(hex(blob.sent)) unsent=\(hex(blob.unsent))")
        if let answer = blob.continuation {
            lines += [
                "body=\(answer.bodyBytesWritten) document=\(answer.documentBytes) place=\(answer.place) "
                    + "modified=\(answer.modified) entity_tag=\(hex(answer.entityTag.utf8))",
                "digest=\(hex(answer.digest)) digest_bytes=\(answer.digestBytes)", "request=\(hex(answer.request))",
            ]
        }
        for (index, line) in lines.enumerated() { out += "\(index == 0 ? "means" : "     ") \(line)\n" }
        return out
    }

    @Test func thePageHasTheVectorsThatTheCodeMakes() throws {
        var page = try String(contentsOf: Self.page, encoding: .utf8)
        let section = Self.begin + Self.text() + Self.end
        let example = Self.beginOfConnection + Self.connectionText() + Self.end
        if ProcessInfo.processInfo.environment["BATON_WRITE_VECTORS"] == "1" {
            let prose = page.range(of: Self.begin).map { String(page[..<$0.lowerBound]) } ?? page
            page = prose + section
            if let start = page.range(of: Self.beginOfConnection),
                let end = page.range(of: Self.end, range: start.upperBound..<page.endIndex)
            {
                page.replaceSubrange(start.lowerBound..<end.upperBound, with: example)
            }
            try page.write(to: Self.page, atomically: true, encoding: .utf8)
        }
        #expect(page.hasSuffix(section), "make the section anew with BATON_WRITE_VECTORS=1")
        #expect(page.contains(example), "likewise")
    }

    /// With the `cryptography` package when there is one, and with the decoder's own AES.
    @Test(arguments: [[], ["--plain"]]) func theIndependentDecoderReadsThem(_ options: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let script = Self.root.appendingPathComponent("Tests/Decoder/crtp_decode.py").path
        process.arguments = ["python3", script, "--verify", Self.page.path] + options
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(said)")
        #expect(said.contains("\(Self.vectors.count) frames"), "\(said)")
    }
}
