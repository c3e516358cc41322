/// The first 32 bytes of every frame, in the clear, covered by the tag.
/// ```
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-------+---------------+-------------------------------+
/// |version| words |     type      |           reserved            |
/// +-------+-------+---------------+---------------+---------------+
/// |            length             |    key id     |  protection   |
/// +-------------------------------+---------------+---------------+
/// |                           sender id                           |
/// +---------------------------------------------------------------+
/// |                            session                            |
/// +---------------------------------------------------------------+
/// |                           sequence                            |
/// |                                                               |
/// +---------------------------------------------------------------+
/// |                          transaction                          |
/// +---------------+-----------------------------------------------+
/// |    attempt    |                   reserved                    |
/// +---------------+-----------------------------------------------+
/// ```
package struct FrameHeader: Equatable, Sendable {
    package static var byteCount: Int { 32 }
    package static var tagByteCount: Int { 16 }
    package static var version: UInt8 { 1 }
    /// Longest frame, in bytes; the shortest is a header and a tag.
    package static var maximumFrame: Int { 1_472 }
    /// As many bytes of a frame tell its length.
    package static var lengthEnd: Int { 6 }

    /// `MessageType`, or a number that this version does not know.
    package var type: UInt8
    /// Bytes of the whole frame: header, body, tag.
    package var length: UInt16
    package var keyID: UInt8
    package var protection: Protection
    /// Who opened the channel; answers repeat it.
    package var senderID: UInt32
    package var session: UInt32
    package var sequence: UInt64
    package var transaction: UInt32
    package var attempt: UInt8

    package init(
        type: UInt8, length: UInt16 = 0, keyID: UInt8, protection: Protection, senderID: UInt32, session: UInt32,
        sequence: UInt64, transaction: UInt32, attempt: UInt8
    ) {
        self.type = type
        self.length = length
        self.keyID = keyID
        self.protection = protection
        self.senderID = senderID
        self.session = session
        self.sequence = sequence
        self.transaction = transaction
        self.attempt = attempt
    }

    package enum Parsing: Equatable, Sendable {
        case header(FrameHeader)
        /// Another version's frame. `isError`: its type is ERROR, which is never answered, in no version.
        case badVersion(UInt8, isError: Bool)
        case malformed
    }

    /// Reads the header of a datagram that is to be exactly one frame.
    package static func parse(_ datagram: UnsafeRawBufferPointer) -> Parsing {
        guard datagram.count >= 2 else { return .malformed }
        let version = datagram[0] >> 4
        guard version == Self.version else {
            return .badVersion(version, isError: datagram[1] == MessageType.error.rawValue)
        }
        guard datagram.count >= byteCount + tagByteCount, datagram.count <= maximumFrame,
            datagram[0] & 0xF == 4, Int(datagram.load16(at: 4)) == datagram.count,
            let protection = Protection(rawValue: datagram[7])
        else { return .malformed }
        return .header(
            FrameHeader(
                type: datagram[1], length: datagram.load16(at: 4), keyID: datagram[6], protection: protection,
                senderID: datagram.load32(at: 8), session: datagram.load32(at: 12), sequence: datagram.load64(at: 16),
                transaction: datagram.load32(at: 24), attempt: datagram[28]))
    }

    func emit(into frame: inout FrameWriter) {
        frame.append(Self.version << 4 | 4)
        frame.append(type)
        frame.append16(0)
        frame.append16(length)
        frame.append(keyID)
        frame.append(protection.rawValue)
        frame.append32(senderID)
        frame.append32(session)
        frame.append64(sequence)
        frame.append32(transaction)
        frame.append(attempt)
        frame.appendZeros(3)
    }

    /// For transports that are streams (TCP): the length of the frame that begins with `prefix`; nil when more bytes
    /// are needed, 0 when no frame can begin so.
    package static func frameLength(_ prefix: UnsafeRawBufferPointer) -> Int? {
        guard prefix.count >= lengthEnd else { return nil }
        let length = Int(prefix.load16(at: 4))
        let isPlausible = prefix[0] == version << 4 | 4 && length >= byteCount + tagByteCount && length <= maximumFrame
        return isPlausible ? length : 0
    }
}

/// Types from 0x80 on are skipped in silence by those who do not know them; a lower unknown type is an ERROR.
package enum MessageType: UInt8, Sendable, CaseIterable {
    case initiate = 1
    case challenge = 2
    case accept = 3
    case error = 4
    case keepalive = 5
    case keepaliveResponse = 6
    case transfer = 16
    case transferACK = 17
    case transferNACK = 18
    case firstByte = 19
    case handOff = 20
    case terminate = 21
    case terminateResponse = 22
    case blob = 24
    case blobReceipt = 25
    case flowInformation = 32
    case flowInformationEnd = 33
    case flowQuery = 34
    case flowUnknown = 35

    /// Protected by the pre-shared key itself, since there is no session yet.
    package var isHandshake: Bool { rawValue <= MessageType.accept.rawValue }
}

extension Message {
    package var type: MessageType {
        switch self {
        case .initiate: .initiate
        case .challenge: .challenge
        case .accept: .accept
        case .error: .error
        case .keepalive: .keepalive
        case .keepaliveResponse: .keepaliveResponse
        case .transfer: .transfer
        case .transferACK: .transferACK
        case .transferNACK: .transferNACK
        case .firstByte: .firstByte
        case .handOff: .handOff
        case .terminate: .terminate
        case .terminateResponse: .terminateResponse
        case .flowInformation: .flowInformation
        case .flowInformationEnd: .flowInformationEnd
        case .flowQuery: .flowQuery
        case .flowUnknown: .flowUnknown
        case .blob: .blob
        case .blobReceipt: .blobReceipt
        }
    }
}
