import Control
import Foundation
import Logging
import Operator
import Testing

/// A control socket with a director behind it that answers from a fixed state, and real connections to it.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ControlSocketTests {
    @Test func everyMethodAnswers() throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"status"}"#).contains(#""name":"d1""#))
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":"a","method":"proxies"}"#).hasPrefix(
                #"{"id":"a","jsonrpc":"2.0","result":[{"#))
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":2,"method":"flows","params":{"limit":1}}"#).contains(
                #""flow":"10.0.0.0:1024 > 10.0.0.80:80""#))
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":3,"method":"transfers"}"#)
                == #"{"id":3,"jsonrpc":"2.0","result":[]}"#)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":4,"method":"bypass"}"#)
                == #"{"id":4,"jsonrpc":"2.0","result":{"bypass":false}}"#)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":5,"method":"bypass","params":{"on":true}}"#)
                == #"{"id":5,"jsonrpc":"2.0","result":{"bypass":true}}"#)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":6,"method":"bypass"}"#)
                == #"{"id":6,"jsonrpc":"2.0","result":{"bypass":true}}"#)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":8,"method":"algorithm","params":{"algorithm":"least-load"}}"#)
                == #"{"id":8,"jsonrpc":"2.0","result":{"algorithm":"least-load","rules":{"web":"least-load"}}}"#)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":9,"method":"algorithm","params":{"rule":"wob"}}"#)
                .contains("no rule is named 'wob'"))
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":7,"method":"version"}"#).contains(#""protocolVersion":1"#))
        director.stop()
    }

    @Test(arguments: [
        ("garbage", -32_700), ("[]", -32_600), ("7", -32_600), ("{}", -32_600),
        (#"{"jsonrpc":"1.0","id":1,"method":"status"}"#, -32_600),
        (#"{"jsonrpc":"2.0","id":[],"method":"status"}"#, -32_600),
        (#"{"jsonrpc":"2.0","id":1,"method":"stat"}"#, -32_601),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"limit":0}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"limt":5}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":[5]}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"state":"comitted"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"client":"10.0.0.0/33"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"serverPort":0}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"cursor":"12.y"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"flows.count","params":{"limit":5}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"trace"}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"trace","params":{"target":"10.0.0.0/8"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"trace","params":{"target":"17","after":-1}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain"}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"url":"ftp://a.example/"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"url":"http://a.example/\r\nX: y"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"url":"http://:80/"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"url":"http://a.example:0/"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"flow":"10.0.0.1 > 10.0.0.80:80"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"flow":"10.0.0.1:1 [2001:db8::1]:80"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"explain","params":{"url":"http://a.example/","client":"a"}}"#, -32_602),
        (
            #"{"jsonrpc":"2.0","id":1,"method":"flows.count","params":{"idleAtLeastMilliseconds":9,"idleAtMostMilliseconds":8}}"#,
            -32_602
        ),
        (#"{"jsonrpc":"2.0","id":1,"method":"bypass","params":{"on":"yes"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"algorithm","params":{"algorithm":"roundRobin"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"proxy"}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"proxy","params":{"proxy":"p1","state":"draining"}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"keys.rotate","params":{"key":256}}"#, -32_602),
        (#"{"jsonrpc":"2.0","id":1,"method":"keys.rotate"}"#, -32_006),
        (#"{"jsonrpc":"2.0","id":1,"method":"proxy","params":{"proxy":"nobody","state":"up"}}"#, -32_603),
        (String(repeating: "[", count: 60_000), -32_700), ("\u{0}\u{1}", -32_700),
    ]) func badRequestsAreToldSo(_ line: String, _ code: Int) throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        #expect(try connection.ask(line).contains(#""code":\#(code)"#))
        // The connection is as good as before.
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"bypass"}"#).contains("result"))
        director.stop()
    }

    /// Files are read by the socket's side; the director gets what was read, and nothing when it is wrong.
    @Test func aRequestThatNeedsTheFileBringsItAlong() throws {
        let scratch = ScratchDirectory()
        let good =
            "ports: { client: [a], server: [b] }\n"
            + "crtp: { keys: { 1: \(scratch.key()), 5: \(scratch.key("key5")) }, current-key: 1 }\n"
        let file = scratch.file("batond.yaml", good)
        let director = try TestDirector(configuration: file)
        let connection = try RawConnection(director.path)
        let request = #"{"jsonrpc":"2.0","id":1,"method":"keys.rotate"}"#
        #expect(try connection.ask(request).contains(#""current":5"#))
        _ = scratch.file("batond.yaml", good + "prots: 1\nname: 'a b'\n")
        let refused = try connection.ask(request)
        #expect(refused.contains(#""code":-32006"#))
        #expect(refused.contains("batond.yaml:3:1: unknown key 'prots': did you mean 'ports'?"))
        #expect(refused.contains("batond.yaml:4:7: 'name' expects"))
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":2,"method":"keys"}"#).contains("result"))
        director.stop()
    }

    @Test func errorsNameWhatIsPossible() throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"stat"}"#)
                == #"{"error":{"code":-32601,"message":"unknown method 'stat' (methods: algorithm, bypass, candidates, capture, capture.read, capture.stop, explain, flows, flows.count, keys, keys.rotate, origins, proxies, proxy, reload, routes, status, trace, transfers, version)"},"id":1,"jsonrpc":"2.0"}"#
        )
        #expect(
            try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"limt":5}}"#)
                == #"{"error":{"code":-32602,"message":"unknown parameter 'limt' (parameters of this method: limit, state, proxy, client, server, clientPort, serverPort, idleAtLeastMilliseconds, idleAtMostMilliseconds, cursor)"},"id":1,"jsonrpc":"2.0"}"#
        )
        director.stop()
    }

    @Test func severalRequestsInOnePieceAreAnsweredInOrder() throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        let lines = (1...50).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"bypass"}"# + "\n" }.joined()
        connection.send("\n" + lines)
        connection.endOutput()
        for id in 1...50 { #expect(try connection.line()?.contains(#""id":\#(id),"#) == true) }
        #expect(try connection.line() == nil)
        director.stop()
    }

    @Test func notificationsAreCarriedOutAndNotAnswered() throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        connection.send(#"{"jsonrpc":"2.0","method":"bypass","params":{"on":true}}"# + "\n")
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"bypass"}"#).contains("true"))
        director.stop()
    }

    @Test func aHugeLineEndsTheConnection() throws {
        let director = try TestDirector()
        let connection = try RawConnection(director.path)
        connection.send(String(repeating: "x", count: 200_000))
        #expect(try connection.line()?.contains(#""code":-32004"#) == true)
        #expect(try connection.line() == nil)
        director.stop()
    }

    @Test func aSlowReaderIsDropped() throws {
        var limits = ControlSocket.Limits()
        limits.writeSeconds = 0.1
        let director = try TestDirector(flows: 10_000, limits: limits)
        let slow = try RawConnection(director.path)
        slow.send(#"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"limit":10000}}"# + "\n")
        slow.waitForHangUp()
        // What the kernel had taken is still there, but the line never ends.
        #expect(try slow.line() == nil)
        director.stop()
    }

    @Test func aLargeAnswerArrivesWhole() throws {
        let director = try TestDirector(flows: 10_000)
        let connection = try RawConnection(director.path)
        let request = #"{"jsonrpc":"2.0","id":1,"method":"flows","params":{"limit":10000}}"#
        let answer = try connection.ask(request)
        #expect(answer.contains(#""flow":"10.0.39.15:1024 > 10.0.0.80:80""#))
        #expect(answer.utf8.count > 500_000)
        director.stop()
    }

    @Test func aSilentConnectionIsClosed() throws {
        var limits = ControlSocket.Limits()
        limits.idleSeconds = 0.05
        let director = try TestDirector(limits: limits)
        let connection = try RawConnection(director.path)
        connection.send("{")
        #expect(try connection.line() == nil)
        director.stop()
    }

    @Test func aDirectorThatDoesNotAnswerIsAnError() throws {
        var limits = ControlSocket.Limits()
        limits.answerSeconds = 0.05
        let director = try TestDirector(limits: limits, answers: false)
        let connection = try RawConnection(director.path)
        #expect(try connection.ask(#"{"jsonrpc":"2.0","id":1,"method":"status"}"#).contains(#""code":-32003"#))
        director.stop()
    }

    @Test func connectionsAreBounded() throws {
        var limits = ControlSocket.Limits()
        limits.connections = 2
        let director = try TestDirector(limits: limits)
        let first = try RawConnection(director.path)
        let second = try RawConnection(director.path)
        let request = #"{"jsonrpc":"2.0","id":1,"method":"bypass"}"#
        #expect(try first.ask(request).contains("result"))
        #expect(try second.ask(request).contains("result"))
        let third = try RawConnection(director.path)
        #expect(try third.line()?.contains(#""code":-32005"#) == true)
        #expect(try third.line() == nil)
        director.stop()
    }

    @Test func rights() {
        let access = PeerAccess(owner: 100, readers: 200)
        #expect(access.rights(of: PeerCredentials(user: 0, groups: [])) == .change)
        #expect(access.rights(of: PeerCredentials(user: 100, groups: [1])) == .change)
        #expect(access.rights(of: PeerCredentials(user: 101, groups: [1, 200])) == .read)
        #expect(access.rights(of: PeerCredentials(user: 101, groups: [100])) == .none)
    }

    @Test func requestsKnowWhetherTheyChange() {
        #expect(OperatorRequest.bypass(false).isChange)
        #expect(!OperatorRequest.bypass(nil).isChange)
        #expect(!OperatorRequest.status.isChange)
    }

    @Test func theFileHasItsMode() throws {
        let director = try TestDirector()
        let attributes = try FileManager.default.attributesOfItem(atPath: director.path)
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        #expect(attributes[.type] as? FileAttributeType == .typeSocket)
        director.stop()
        #expect(!FileManager.default.fileExists(atPath: director.path))
    }

    @Test func aStaleSocketIsReplacedAndALiveOneIsNot() throws {
        let director = try TestDirector()
        do {
            _ = try TestDirector(path: director.path)
            Issue.record("two directors serve one socket")
        } catch let problem as ControlSocketProblem {
            #expect(problem.message.contains("is in use"))
        }
        // A dead director leaves its file: made here by moving a live one's out of reach of its end.
        let stale = director.path + ".stale"
        #expect(rename(director.path, stale) == 0)
        director.stop()
        let next = try TestDirector(path: stale)
        #expect(try RawConnection(stale).ask(#"{"jsonrpc":"2.0","id":1,"method":"bypass"}"#).contains("result"))
        next.stop()
    }

    @Test func otherFilesAreLeftAlone() throws {
        let scratch = ScratchDirectory()
        let path = scratch.file("note.txt", "mine")
        do {
            _ = try TestDirector(path: path)
            Issue.record("a file was replaced")
        } catch let problem as ControlSocketProblem {
            #expect(problem.message.contains("is no socket"))
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test func anUnknownGroupHasARemedy() {
        var settings = DirectorConfiguration.ControlSocketSettings()
        settings.path = "/tmp/never-made.sock"
        settings.group = "no-such-group"
        do {
            _ = try ControlSocket.open(
                settings, mailbox: OperatorMailbox(), source: ConfigurationSource(path: ""),
                logger: Logger(label: "test"))
            Issue.record("the group exists")
        } catch {
            #expect(error.remedy.contains("groupadd --system no-such-group"))
        }
    }
}
