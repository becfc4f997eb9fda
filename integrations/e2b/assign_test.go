// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"reflect"
	"strings"
	"testing"
)

func TestAssigningNamesASlot(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	former, next := claimOne(t, pool, Egress{}), claimOne(t, pool, Egress{})
	to := Assignment{Name: "i1", Labels: map[string]string{"template": "base", "pool": "mine"}}
	for _, slot := range []Slot{former, next} {
		if err := pool.Assign(background(t), slot.ID, to); err != nil {
			t.Fatal(err)
		}
	}
	if labels := fake.member(next.ID, "labels"); fake.member(next.ID, "name") != "i1" ||
		!reflect.DeepEqual(labels, map[string]any{"pool": "e2b", "template": "base"}) {
		t.Error(labels)
	}
	if name := fake.member(former.ID, "name"); name != nil && name != "" {
		t.Error("the slot of the former life still has the name")
	}
	if err := pool.Assign(background(t), former.ID, Assignment{Labels: map[string]string{"sandbox": "i1"}}); err != nil {
		t.Error(err)
	}
}

func TestANameOfASlotThatIsGoingIsWaitedFor(t *testing.T) {
	fake := newFakeWeftd(t)
	pool := fake.pool(t, Options{})
	former, next := claimOne(t, pool, Egress{}), claimOne(t, pool, Egress{})
	if err := pool.Assign(background(t), former.ID, Assignment{Name: "i1"}); err != nil {
		t.Fatal(err)
	}
	// It is draining: it takes no change any more, and goes after the second try.
	tries := 0
	fake.failing(func(method, id string) fault {
		if method != "PATCH" || id != former.ID {
			return fault{}
		}
		if tries++; tries == 2 {
			delete(fake.sandboxes, former.ID)
		}
		return fault{status: 409}
	})
	if err := pool.Assign(background(t), next.ID, Assignment{Name: "i1"}); err != nil || fake.member(next.ID, "name") != "i1" || tries != 2 {
		t.Error(err, tries)
	}
}

func TestANameOfSomebodyElseIsLeftAlone(t *testing.T) {
	fake := newFakeWeftd(t)
	other := fake.pool(t, Options{Owner: "another"})
	theirs := claimOne(t, other, Egress{})
	if err := other.Assign(background(t), theirs.ID, Assignment{Name: "i1"}); err != nil {
		t.Fatal(err)
	}
	pool := fake.pool(t, Options{})
	slot := claimOne(t, pool, Egress{})
	for _, name := range []string{"i1", theirs.ID} {
		err := pool.Assign(background(t), slot.ID, Assignment{Name: name, Labels: map[string]string{"sandbox": name}})
		if status(err) != 409 || !strings.Contains(err.Error(), slot.ID) {
			t.Error(err)
		}
		if labels := fake.member(slot.ID, "labels").(map[string]any); labels["sandbox"] != name {
			t.Error("its labels are set all the same:", labels)
		}
	}
	if fake.member(theirs.ID, "name") != "i1" {
		t.Error("it lost its name")
	}
}
