import Wire

/// Reads text as a request; offsets of what comes back are turned into text again.
struct Reading: Equatable {
    var application: Application
    var headLength: Int
    var host: String
    var path: String
    var hasCredentials: Bool
    var alpn: ALPN
}

func recognise(_ bytes: [UInt8], _ wanted: Application = [.httpGet, .httpOther, .tls, .smtp]) -> Recognition {
    bytes.withUnsafeBytes { recogniseRequest($0, wanted: wanted) }
}

func recognise(_ text: String, _ wanted: Application = [.httpGet, .httpOther, .tls, .smtp]) -> Recognition {
    recognise(Array(text.utf8), wanted)
}

func reading(_ bytes: [UInt8], _ wanted: Application = [.httpGet, .httpOther, .tls, .smtp]) -> Reading? {
    guard case .request(let request) = recognise(bytes, wanted) else { return nil }
    return bytes.withUnsafeBytes { raw in
        Reading(
            application: request.application, headLength: request.headLength,
            host: String(decoding: request.host.of(raw), as: UTF8.self),
            path: String(decoding: request.path.of(raw), as: UTF8.self),
            hasCredentials: request.hasCredentials, alpn: request.alpn)
    }
}

/// Every proper prefix waits, the whole decides, and what follows changes nothing.
func staysIncomplete(_ head: [UInt8], _ wanted: Application = [.httpGet, .httpOther, .tls, .smtp]) -> Int? {
    for count in 0..<head.count where recognise(Array(head[..<count]), wanted) != .incomplete { return count }
    let whole = recognise(head, wanted)
    return recognise(head + [0, 10, 65], wanted) == whole ? nil : head.count
}

/// Builds ClientHellos to order.
struct HelloBuilder {
    var serverName: String? = "www.example.com"
    var alpn: [String]? = ["h2", "http/1.1"]
    var extra: [(type: UInt16, body: [UInt8])] = [(43, [2, 3, 4]), (10, [0, 2, 0, 29])]
    var version: UInt16 = 0x0303
    var sessionLength = 32
    var suites: [UInt8] = [0x13, 0x01, 0x13, 0x02]

    static func be16(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }

    static func nameBody(_ name: [UInt8], type: UInt8 = 0) -> [UInt8] {
        be16(name.count + 3) + [type] + be16(name.count) + name
    }

    var message: [UInt8] {
        var extensions: [UInt8] = []
        func add(_ type: UInt16, _ body: [UInt8]) {
            extensions += Self.be16(Int(type)) + Self.be16(body.count) + body
        }
        for (type, body) in extra.prefix(1) { add(type, body) }
        if let serverName { add(0, Self.nameBody(Array(serverName.utf8))) }
        if let alpn {
            let list = alpn.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            add(16, Self.be16(list.count) + list)
        }
        for (type, body) in extra.dropFirst() { add(type, body) }
        var body = Self.be16(Int(version)) + [UInt8](repeating: 7, count: 32)
        body += [UInt8(sessionLength)] + [UInt8](repeating: 9, count: sessionLength)
        body += Self.be16(suites.count) + suites + [1, 0] + Self.be16(extensions.count) + extensions
        return [1, 0] + Self.be16(body.count) + body
    }

    /// The message in records that end after each of `cuts` bytes of it, and at its end.
    func records(cuts: [Int] = []) -> [UInt8] {
        let message = message
        var out: [UInt8] = []
        var start = 0
        for end in cuts + [message.count] where end > start {
            out += [22, 3, 1] + Self.be16(end - start) + message[start..<end]
            start = end
        }
        return out
    }
}
