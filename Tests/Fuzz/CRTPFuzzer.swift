import CRTP
import Wire

// What must hold of any bytes: the header's parser and the body's parser are total, and a body that can be read is
// written again to one that reads the same. Keys are left out: whoever gets as far as the body has them.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    if case .header(let header) = FrameHeader.parse(bytes) {
        precondition(Int(header.length) == count)
        precondition(FrameHeader.frameLength(bytes) == count)
        let body = UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.byteCount..<(count - FrameHeader.tagByteCount)])
        fuzzBody(type: header.type, session: header.session, body)
    }
    if count >= 2 { fuzzBody(type: bytes[0], session: UInt32(bytes[1]), UnsafeRawBufferPointer(rebasing: bytes[2...])) }
    return 0
}

private func fuzzBody(type: UInt8, session: UInt32, _ body: UnsafeRawBufferPointer) {
    let decoded = MessageCodec.decode(type: type, session: session, body: body)
    guard case .message(let message, let detail) = decoded else { return }
    precondition(message.type.rawValue == type)
    var again: [UInt8] = []
    MessageCodec.encode(message, detail: detail, into: &again)
    let second = again.withUnsafeBytes { MessageCodec.decode(type: type, session: session, body: $0) }
    precondition(second == decoded)
}
