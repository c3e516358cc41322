import FastPath
import InterCore
import Testing
import Wire

/// Packets that come in one burst are looked up together, before the first of them has done anything.
extension WorkerTests {
    @Test(arguments: [false, true]) func twoFirstSYNsInOneBurstMakeOneFlow(isV6: Bool) {
        let lab = Lab()
        let connection = Connection(lab)
        connection.v6 = isV6
        let syn = connection.clientSegment("S", seq: 0, options: Options.mss(1_460))
        lab.put(syn.frame, fromClient: true)
        lab.put(syn.frame, fromClient: true)
        lab.turn()
        #expect(lab.takeToServers().count == 2)
        #expect(lab.counter(.flowsCreated) == 1)
        #expect(lab.gauge(.flows) == 1)
        lab.finish()
    }

    /// < S, ., P. of one connection in one burst: as if they had come one by one.
    @Test func aConnectionThatEndsAndBeginsInOneBurst() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        let again = Connection(lab, isn: 50_000)
        for segment in [
            connection.clientSegment("R.", seq: 1, ack: 1),
            again.clientSegment("S", seq: 0, options: Options.mss(1_460)),
            again.clientSegment("S", seq: 0, options: Options.mss(1_460)),
        ] { lab.put(segment.frame, fromClient: true) }
        lab.turn()
        #expect(lab.takeToServers().count == 3)
        #expect(lab.counter(.flowsCreated) == 2)
        #expect(lab.gauge(.flows) == 1)
        again.origin("S.", seq: 0, ack: 1, options: Options.mss(1_460))
        again.client(".", seq: 1)
        again.client("P.", seq: 1, request)
        #expect(lab.takeHeld()?.connection.psn == SequenceNumber(50_001))
        lab.finish()
    }

    /// The short way and the long way of a transferred flow's packets agree: data, acknowledgements, FIN, RST, and numbers
    /// that no window allows.
    @Test(arguments: [false, true]) func committedPacketsGoToTheProxyWhateverTheyAre(isV6: Bool) {
        let lab = Lab()
        let connection = Connection(lab)
        connection.v6 = isV6
        connection.commit()
        let start = UInt32(1 + request.count)
        let segments = [
            connection.clientSegment(".", seq: start, ack: 1_000),
            connection.clientSegment("P.", seq: start, ack: 1_000, [1, 2, 3]),
            // Old, far ahead, and without ACK.
            connection.clientSegment(".", seq: start &- 10, ack: 1_000),
            connection.clientSegment(".", seq: start &+ 1_000_000_000, ack: 1_000),
            connection.clientSegment("P", seq: start, [9]),
            connection.clientSegment("F.", seq: start + 3, ack: 2_000),
            connection.clientSegment("R", seq: start + 900),
        ]
        for segment in segments { lab.put(segment.frame, fromClient: true) }
        lab.turn()
        let sent = lab.takeToServers()
        #expect(sent.map(\.destinationMAC) == [UInt64](repeating: Lab.proxyMAC, count: segments.count))
        #expect(sent.map(\.sequence) == segments.map(\.sequence), "in order")
        #expect(lab.gauge(.committedFlows) == 1)
        // Sequence-exact by what the burst has taught.
        connection.client("R", seq: start + 4)
        #expect(lab.gauge(.committedFlows) == 0)
        lab.finish()
    }

    /// Packets of the short way, whichever direction they go in, keep their flow alive.
    @Test(arguments: [true, false], [true, false]) func aFlowLivesAsLongAsItsPacketsCome(
        isCommitted: Bool, fromClient: Bool
    ) {
        let lab = Lab {
            $0.idleMicroseconds = 2_000_000
            $0.committedIdleMicroseconds = 2_000_000
        }
        let connection = Connection(lab)
        if isCommitted {
            connection.commit()
        } else {
            connection.handshake()
            connection.client("P.", seq: 1, [UInt8]("no request at all\r\n\r\n".utf8))
        }
        let start = UInt32(1 + request.count)
        for _ in 0..<8 {
            lab.wait(milliseconds: 1_000, step: 10_000)
            if fromClient {
                connection.client(".", seq: start)
            } else if isCommitted {
                connection.proxy(".", seq: 1, ack: start)
            } else {
                connection.origin(".", seq: 1, ack: start)
            }
            #expect(lab.gauge(.flows) == 1)
        }
        lab.wait(milliseconds: 5_000, step: 10_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    /// With a delay fewer than a burst wait for others, but not longer.
    @Test func fewPacketsWaitForOthersAsLongAsTheDelay() {
        let lab = Lab { $0.transmitDelayMicroseconds = 50 }
        let connection = Connection(lab)
        let segment = connection.clientSegment(".", seq: 7, ack: 7)
        func put(_ count: Int) { for _ in 0..<count { lab.put(segment.frame, fromClient: true) } }
        put(1)
        lab.turn()
        lab.now += 49
        put(1)
        lab.turn()
        #expect(lab.takeToServers().isEmpty)
        #expect(lab.gauge(.waitingPackets) == 2)
        lab.now += 1
        lab.turn()
        #expect(lab.takeToServers().count == 2, "the first has waited for 50 microseconds")
        put(32)
        lab.turn()
        #expect(lab.takeToServers().count == 32, "a burst does not wait")
        put(1)
        lab.turn()
        #expect(lab.takeToServers().isEmpty, "the next one's time begins anew")
        lab.now += 50
        lab.turn()
        #expect(lab.takeToServers().count == 1)
        lab.finish()
    }

    /// A port that takes nothing any more: what does not fit is dropped and counted, whichever way it took.
    @Test func aPortThatIsStuckLosesNothingUncounted() {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        let stranger = Connection(lab, port: 50_000)
        let start = UInt32(1 + request.count)
        // The ring takes 4,095 packets, the worker keeps 1,024 and a burst.
        for _ in 0..<170 {
            for index in 0..<32 {
                let segment =
                    index % 8 == 7
                    ? stranger.clientSegment(".", seq: 7, ack: 7) : connection.clientSegment(".", seq: start, ack: 1)
                lab.put(segment.frame, fromClient: true)
            }
            _ = lab.boxes[0].worker.poll(now: lab.now)
        }
        #expect(lab.counter(.droppedTransmitFull) > 200)
        #expect(lab.gauge(.waitingPackets) >= 1_024 && lab.gauge(.waitingPackets) <= 1_056)
        #expect(lab.counters[0].imbalance == 0)
        lab.turn()
        lab.turn()
        lab.finish()
    }
}
