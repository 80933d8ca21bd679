-- Test mode: a delivery of a test is known by its id (`tst_`), and so is a robot courier (`bot_`); proto/test-mode.ts.
-- The accept compares the two. This is for whatever else may one day write a courier into a row: a test cannot come to
-- somebody, nor a parcel to a robot, however it is tried. No row of before can break it, so none is looked at.
alter table deliveries add constraint a_test_is_carried_by_a_robot
  check (courier_id is null or (left(id, 4) = 'tst_') = (left(courier_id, 4) = 'bot_')) not valid;
