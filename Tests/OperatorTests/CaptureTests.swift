import CRTP
import Control
import Foundation
import InterCore
import Operator
import Testing
import Wire

/// A capture's session: blocks of a file out of packets, within bounds. `Tests/EndToEnd/test_capture.py` lets tshark read
/// one.
@Suite struct CaptureTests {
    private let core = ControlCore(
        configuration: DirectorConfiguration(), keys: KeyRing(keys: [1: [UInt8](repeating: 1, count: 32)], current: 1),
        workerCount: 1, epoch: 1)
    private let key = FlowKey(
        client: IPAddress("192.0.2.7")!, clientPort: 40_000, server: IPAddress("192.0.2.80")!, serverPort: 80)

    private func session(_ adjust: (inout CaptureRequest) -> Void = { _ in }) -> CaptureSession {
        var request = CaptureRequest()
        adjust(&request)
        return CaptureSession(
            capture: 7, request, sides: ("c", "s"), application: "batond",
            clock: .init(timestamp: 1_000, hertz: 1_000_000_000, nanoseconds: 5_000_000_000_000), now: 0)
    }

    private func packet(at timestamp: UInt64, serial: UInt64 = 0, capture: UInt32 = 7) -> CapturedPacket {
        var packet = CapturedPacket(timestamp: timestamp, length: 60, isClientSide: true, verdict: .held)
        packet.capture = capture
        packet.serial = serial
        packet.key = PackedFlowKey(key)
        packet.before = .opening
        packet.after = .held
        return packet
    }

    private func note(_ packet: CapturedPacket, in session: inout CaptureSession) {
        [UInt8](repeating: 0xAB, count: 60).withUnsafeBytes { session.note(packet, $0) }
    }

    /// Type and body of each block; fails when one is cut.
    private func blocks(_ page: CapturePage) throws -> [(type: UInt32, body: [UInt8])] {
        var bytes = [UInt8](try #require(Data(base64Encoded: page.blocks)))[...]
        var blocks: [(UInt32, [UInt8])] = []
        func word(_ at: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[bytes.startIndex + at + $1]) << (8 * $1) }
        }
        while !bytes.isEmpty {
            let (type, length) = (word(0), Int(word(4)))
            try #require(length <= bytes.count && length % 4 == 0 && Int(word(length - 4)) == length)
            blocks.append((type, Array(bytes.dropFirst(8).prefix(length - 12))))
            bytes = bytes.dropFirst(length)
        }
        return blocks
    }

    @Test func aPacketBecomesABlockWithItsComment() throws {
        var session = session()
        note(packet(at: 2_000, serial: 1), in: &session)
        note(packet(at: 2_000, serial: 0), in: &session)
        note(packet(at: 2_000, capture: 6), in: &session)
        session.settle(core, lost: 3, now: 1)
        session.end("on demand")
        let page = session.read(now: 2)
        let blocks = try blocks(page)
        #expect(blocks.map(\.type) == [0x0A0D_0D0A, 1, 1, 6, 6, 5, 5])
        let text = String(decoding: blocks[3].body, as: UTF8.self)
        #expect(text.contains("held; opening > held; flow 0.0.0"))
        #expect((page.packets, page.lost, page.ended, page.hasMore) == (2, 3, "on demand", false))
        #expect(session.isOver(now: 3))
        // 5,000 s and 1,000 ns, in nanoseconds, the upper half first.
        let time: UInt64 = 5_000_000_001_000
        let (upper, lower) = (UInt32(time >> 32), UInt32(truncatingIfNeeded: time))
        func little(_ half: UInt32) -> [UInt8] { withUnsafeBytes(of: half.littleEndian) { Array($0) } }
        #expect(Array(blocks[3].body[4..<12]) == little(upper) + little(lower))
    }

    @Test func aCaptureEndsAtItsBounds() {
        var packets = session { $0.packets = 2 }
        for _ in 0..<3 { note(packet(at: 2_000), in: &packets) }
        packets.settle(core, lost: 0, now: 1)
        #expect(packets.ended == "after 2 packets" && packets.read(now: 1).packets == 2)

        var bytes = session { $0.bytes = 4_096 }
        for _ in 0..<100 { note(packet(at: 2_000), in: &bytes) }
        bytes.settle(core, lost: 0, now: 1)
        let page = bytes.read(now: 1)
        #expect(bytes.ended == "after 4096 bytes" && page.blocks.utf8.count < 2 * 4_096 && page.packets < 100)

        var seconds = session { $0.seconds = 5 }
        seconds.settle(core, lost: 0, now: 4_999_999)
        #expect(seconds.ended == nil)
        seconds.settle(core, lost: 0, now: 5_000_000)
        #expect(seconds.ended == "after 5 s")
    }

    /// An operator who goes away leaves nothing behind, and one who is slow loses packets, not memory.
    @Test func whatNobodyTakesIsBounded() throws {
        var session = session {
            $0.packets = 1_000_000
            $0.bytes = 1 << 30
        }
        let frame = [UInt8](repeating: 0, count: CaptureOrder.longestSnap)
        for round in 0..<40 {
            for serial in 0..<100 {
                frame.withUnsafeBytes { session.note(packet(at: UInt64(round), serial: UInt64(serial)), $0) }
            }
            session.settle(core, lost: 0, now: 1)
        }
        var taken = 0
        var page = session.read(now: 1)
        while page.hasMore {
            taken += try #require(Data(base64Encoded: page.blocks)).count
            #expect(taken < 5 << 20)
            _ = try blocks(page)
            page = session.read(now: 1)
        }
        #expect(page.packets > 1_000 && page.packets < 4_000 && page.lost == UInt64(4_000 - page.packets))
        session.settle(core, lost: 0, now: 10_000_002)
        #expect(session.ended == "nobody took its blocks" && !session.isOver(now: 10_000_002))
        #expect(session.isOver(now: 40_000_000))
    }

    @Test(arguments: [
        (#"{"client":"10.0.0.300"}"#, "'client' is an address or a prefix"), (#"{"port":0}"#, "'port' is an integer"),
        (#"{"snap":9000}"#, "'snap' is an integer between 64 and 1536"), (#"{"rate":1}"#, "'rate' is an integer"),
        (#"{"crtp":"yes"}"#, "'crtp' is true or false"), (#"{"prot":"tcp"}"#, "unknown parameter 'prot'"),
    ]) func wrongParametersAreNamed(_ parameters: String, _ message: String) throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        let answer = try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"capture","params":\#(parameters)}"#)
        #expect(answer.contains("-32602") && answer.contains(message), "\(answer)")
        director.stop()
    }
}
