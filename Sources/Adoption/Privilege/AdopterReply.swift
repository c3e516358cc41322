import Glibc
internal import Wire

/// What the adopting process answers, one to each request, in their order; the first one, unasked, says that it is
/// ready. With `done` after `adopt` comes the socket.
///
/// ```
///  0        1        2        4        8        12       13                  64
/// +--------+--------+--------+--------+--------+--------+-------------------+
/// | status |version |    0   | handle | errno  | length | text, 0 behind it |
/// +--------+--------+--------+--------+--------+--------+-------------------+
/// ```
package enum AdopterReply: Equatable, Sendable {
    /// `handle` names the socket until it is committed or forgotten; 0 where there is none.
    case done(handle: UInt32)
    /// Answer to `suspend`.
    case suspended(handle: UInt32, SuspendedSocket)
    case failed(AdoptionFailure)

    package static let bytes = 64
    fileprivate static let textBytes = 51

    fileprivate enum Status: UInt8 {
        case done = 0
        case tupleInUse, noRoute, resource, system, refused, suspended
    }

    package var encoded: [UInt8] {
        var message = FixedMessage(bytes: AdopterReply.bytes)
        message[1] = AdopterRequest.version
        switch self {
        case .done(let handle): message.put(handle, at: 4)
        case .suspended(let handle, let socket):
            message[0] = Status.suspended.rawValue
            message.put(handle, at: 4)
            message.put(socket.received.value, at: 16)
            message.put(socket.sent.value, at: 20)
            message.put(socket.clientWindow, at: 24)
            message.put(socket.windowEdge.value, at: 28)
            message.put(socket.timestamp, at: 32)
            message.put(socket.unsent, at: 36)
        case .failed(.tupleInUse): message[0] = Status.tupleInUse.rawValue
        case .failed(.noRoute): message[0] = Status.noRoute.rawValue
        case .failed(.resource(let failure)): message.put(failure.operation, failure.code, .resource)
        case .failed(.system(let failure)): message.put(failure.operation, failure.code, .system)
        case .failed(.refused(let why)): message.put(why, 0, .refused)
        }
        return message.content
    }

    package init?(_ content: [UInt8]) {
        guard content.count == AdopterReply.bytes, content[1] == AdopterRequest.version,
            let status = Status(rawValue: content[0]), content[12] <= AdopterReply.textBytes
        else { return nil }
        let message = FixedMessage(content)
        let text = String(decoding: content[13..<(13 + Int(content[12]))], as: UTF8.self)
        let failure = SystemFailure(text, code: message.get(at: 8))
        switch status {
        case .done: self = .done(handle: message.get(at: 4))
        case .suspended:
            self = .suspended(
                handle: message.get(at: 4),
                SuspendedSocket(
                    received: SequenceNumber(message.get(at: 16)), sent: SequenceNumber(message.get(at: 20)),
                    clientWindow: message.get(at: 24), windowEdge: SequenceNumber(message.get(at: 28)),
                    timestamp: message.get(at: 32), unsent: message.get(at: 36)))
        case .tupleInUse: self = .failed(.tupleInUse)
        case .noRoute: self = .failed(.noRoute)
        case .resource: self = .failed(.resource(failure))
        case .system: self = .failed(.system(failure))
        case .refused: self = .failed(.refused(text))
        }
    }
}

extension FixedMessage {
    fileprivate mutating func put(_ text: String, _ code: CInt, _ status: AdopterReply.Status) {
        self[0] = status.rawValue
        put(code, at: 8)
        let bytes = text.utf8.prefix(AdopterReply.textBytes)
        self[12] = UInt8(bytes.count)
        for (index, byte) in bytes.enumerated() { self[13 + index] = byte }
    }
}
