import InterCore
import Wire

/// Requests as a worker reports them: each of a connection of its own, all of one form.
struct Requests {
    let payload: [UInt8]
    private let request: RecognisedRequest

    /// - Parameter headLength: bytes of each head; 0 for what curl sends.
    init(headLength: Int) {
        let line = "GET /files/index-000001.html HTTP/1.1\r\nHost: "
        let host = "www.example.org"
        var head = Array("\(line)\(host)\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n".utf8)
        let padding = min(headLength, HeldRequest.maximumPayload) - head.count - 2
        if padding > 12 {
            head += Array("X-Padding: ".utf8) + [UInt8](repeating: 0x61, count: padding - 13) + [13, 10]
        }
        payload = head + [13, 10]
        request = RecognisedRequest(
            application: .httpGet, headLength: payload.count,
            host: ByteRange(start: line.utf8.count, count: host.utf8.count), path: ByteRange(start: 4, count: 24))
    }

    /// Places in a worker's table come in no order.
    func handle(_ number: UInt32, flows: UInt32) -> FlowHandle {
        FlowHandle(
            worker: 0, index: UInt32(UInt64(number % flows) * 999_983 % UInt64(flows)), generation: number / flows + 1)
    }

    /// The n-th connection's: its client is one of 16 million, its place in the worker's table its number modulo `flows`.
    func held(_ number: UInt32, flows: UInt32) -> HeldRequest {
        let key = FlowKey(
            client: IPAddress(v4: 0x0A00_0000 | number >> 14 & 0xFF_FFFF),
            clientPort: UInt16(truncatingIfNeeded: 1_024 &+ number & 0x3FFF), server: IPAddress(v4: 0xC633_6450),
            serverPort: 80, vlan: .untagged)
        let connection = ConnectionState(
            key: key, psn: SequenceNumber(number &* 77_773), pan: SequenceNumber(number &* 31_337),
            clientWindow: 64_240, serverWindowEdge: SequenceNumber(number &* 31_337 &+ 65_535),
            options: NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: 7, serverWindowScale: 8, windowScale: true,
                sack: true, timestamps: true),
            serverTimestamp: number, clientTimestamp: number, timestampAgeMicroseconds: 120)
        return HeldRequest(
            handle: handle(number, flows: flows),
            connection: connection, request: request, rules: 1, recognisedAt: 0, heldLength: UInt32(payload.count),
            payloadLength: UInt16(payload.count))
    }
}
