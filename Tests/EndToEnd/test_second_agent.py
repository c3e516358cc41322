"""An agent that was written from docs/crtp.md alone, and real batond: they understand each other."""

from .laboratory_case import CACHED_HOST, curl, resolve, topology, wait_until
from .second_agent import ACCEPTED, SecondAgentCase, crtp


class SecondAgent(SecondAgentCase):
    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()
        # What a director sends is never malformed, unauthentic, unknown or a repetition. Only its TERMINATE may come once
        # more, when the answer to it was late: that has ended the session.
        harmless = ((crtp.TERMINATE, "unknown_session"),)
        self.assertEqual([said for said in self.host.turned_down if said[1] != "refused" and said not in harmless], [])
        self.host.turned_down.clear()

    def test_its_channel_comes_up(self):
        row = self.proxy()
        self.assertEqual((row["state"], row["mac"]), ("up", topology.mac("p1")))
        self.assertEqual((self.session.key_id, self.session.protection), (1, crtp.SEALED))
        heard = self.session.window.highest
        wait_until("two more KEEPALIVEs are answered", lambda: self.session.window.highest >= heard + 2, 20)
        self.assertEqual(self.proxy()["state"], "up")

    def test_a_request_that_it_refuses_is_the_origins(self):
        _, counted = self.play_from_origin("refused", asked=1)
        self.assertEqual((counted["acks"], counted["nacks"]), (0, 1))
        self.assertEqual(self.asked[-1].request.split(b"\r\n")[0], b"GET /small.bin HTTP/1.1")

    def test_a_request_that_it_leaves_unanswered_is_the_origins(self):
        type(self).answer = None
        _, counted = self.play_from_origin("unanswered", asked=1)
        self.assertEqual(counted, {"acks": 0, "nacks": 0, "timeouts": 1})

    def test_a_connection_that_it_takes_is_its_own_until_it_says_that_it_is_over(self):
        """The announcement brings the flow to the next director, FLOW_DONE ends it there."""
        type(self).answer = ACCEPTED
        client = curl(self.laboratory).start([f"http://{CACHED_HOST}/small.bin"], resolve())
        try:
            wait_until("the connection is p1's", lambda: self.proxy()["committedFlows"] == 1, 10)
            transfer = self.asked[-1].transaction
            self.host.tell(lambda agent, now: agent.begin(transfer))
            wait_until("p1's word on its connections has come", lambda: self.proxy()["connections"] == 1, 10)
            self.services.kill("director")
            self.start_director()
            wait_until("the next director knows of it", lambda: self.proxy()["committedFlows"] == 1, 10)
            self.host.tell(lambda agent, now: agent.finish(transfer, 0, now))
            wait_until("it is over", lambda: self.proxy()["committedFlows"] == 0, 10)
            director = self.agent.directors[self.session.sender]
            wait_until("that was answered", lambda: not director.ending, 10)
        finally:
            client.process.kill()

    def test_its_terminate_takes_the_proxy_down_at_once(self):
        number = self.session.number
        self.agent.welcoming = False
        try:
            self.host.tell(lambda agent, now: agent.close(now))
            self.wait_for_state("down", "initiating")
            wait_until("the agent has the director's answer", lambda: number not in self.agent.sessions, 10)
            self.assertEqual(self.play_from_origin("terminated", asked=0)[0], "nobody was asked")
        finally:
            self.agent.welcoming = True
        self.wait_for_state("up")
        self.play_from_origin("welcome-again", asked=1)

    def test_it_is_not_asked_while_it_drains(self):
        self.agent.draining = True
        try:
            self.wait_for_state("draining")
            self.assertEqual(self.play_from_origin("draining", asked=0)[0], "nobody was asked")
        finally:
            self.agent.draining = False
        self.wait_for_state("up")

    def test_a_director_comes_back_with_another_key_and_protection(self):
        self.services.processes.pop("director").stop()
        self.services.crtp_options |= {"current-key": 2, "protection": "authenticated"}
        self.agent.protection = crtp.AUTHENTICATED
        try:
            self.start_director()
            self.assertEqual((self.session.key_id, self.session.protection), (2, crtp.AUTHENTICATED))
            _, counted = self.play_from_origin("another-key", asked=1)
            self.assertEqual(counted["nacks"], 1)
            # The stronger of both ends' wishes is the session's.
            self.services.kill("director")
            self.agent.protection = crtp.SEALED
            self.start_director()
            self.assertEqual((self.session.key_id, self.session.protection), (2, crtp.SEALED))
        finally:
            for key in ("current-key", "protection"):
                self.services.crtp_options.pop(key)
            self.services.crtp_options |= self.crtp_options
            self.agent.protection = crtp.SEALED
            if "director" in self.services.processes:
                self.services.processes.pop("director").stop()
            self.start_director()
        self.assertEqual(self.session.key_id, 1)

    def test_an_agent_that_has_lost_its_sessions_is_met_again_by_its_own_hint(self):
        """BAD_SESSION: silence would take more than a minute."""
        self.host.stop()
        self.start_second_agent()
        wait_until("the director has met the new agent", lambda: self.agent.sessions and self.session, 20)
        self.wait_for_state("up")
        self.play_from_origin("lost", asked=1)
        self.assertIn("unknown_session", [fate for _, fate in self.host.turned_down])
        self.host.turned_down = [said for said in self.host.turned_down if said[1] != "unknown_session"]
